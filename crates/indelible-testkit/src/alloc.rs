//! An allocator that counts: calls per thread, for showing that a path allocates nothing; and bytes of the process, for showing what is kept.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its contract; this one only counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator with a count of calls for each thread. Make it the `#[global_allocator]` of a test binary.
#[derive(Debug)]
pub struct CountingAllocator;

thread_local! {
    // Constant initialiser and no destructor: reading it never allocates.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has allocated, or grown what it had. 0 for ever where [`CountingAllocator`] is not in use.
#[must_use]
pub fn allocations_of_this_thread() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Bytes that were asked for and not given back, by all threads.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes that this process has allocated and not freed. 0 for ever where [`CountingAllocator`] is not in use.
#[must_use]
pub fn allocated_bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// The most that those were since [`forget_peak`].
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The most bytes that this process had allocated at any time since [`forget_peak`].
#[must_use]
pub fn peak_bytes() -> usize {
    PEAK.load(Ordering::Relaxed)
}

/// Begins anew to look for the most: with what is allocated now.
pub fn forget_peak() {
    PEAK.store(allocated_bytes(), Ordering::Relaxed);
}

fn add(bytes: usize) {
    let before = BYTES.fetch_add(bytes, Ordering::Relaxed);
    PEAK.fetch_max(before.saturating_add(bytes), Ordering::Relaxed);
}

fn count(layout: Layout) {
    add(layout.size());
    count_call();
}

fn count_call() {
    // A thread that is being torn down is not counted.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call goes to `System` with the caller's own arguments, so its contract is System's; counting touches only a
// thread-local cell and an atomic number, and cannot allocate or unwind.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `pointer` came from `System` with this layout, as every pointer of this allocator does.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        add(bytes);
        count_call();
        // SAFETY: `pointer` came from `System` with this layout, and the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
