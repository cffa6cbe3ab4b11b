//! Giving way: a thread that works on what nobody waits for.
#![expect(unsafe_code, reason = "ioprio_set has no wrapper, safe or not, in the libraries that we use")]

/// A tenth of the processor's share of a thread that is not nice.
const NICE: i32 = 10;
/// `IOPRIO_WHO_PROCESS` of ioprio_set(2).
const ONE_THREAD: libc::c_long = 1;
/// `IOPRIO_CLASS_IDLE` of ioprio_set(2), where the class has its bits: served when nothing else waits for the disk, and after ten seconds by
/// the schedulers that know classes (mq-deadline, BFQ).
const IDLE: libc::c_long = 3 << 13;

/// From now on this thread gives way to others that have work for a processor or for the disk. A hint: where it is refused, or where the
/// disk has no scheduler that knows it, nothing changes.
pub fn background() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    // SAFETY: three numbers; 0 is the calling thread; no memory is touched.
    let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, ONE_THREAD, 0 as libc::c_long, IDLE) };
}
