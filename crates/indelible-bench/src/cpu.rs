//! Who used the processors while something was measured: we, the kernel for us, or somebody else.
//!
//! `/proc` counts in ticks of 10 ms: figures of runs under a second are rough.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Seconds per tick: USER_HZ is 100 on every platform Linux has.
const TICK_SECONDS: f64 = 0.01;
const KTHREADD: u64 = 2;

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    duration(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process, those that ended included.
pub(crate) fn process_cpu() -> Duration {
    duration(ClockId::ProcessCPUTime)
}

fn duration(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (seconds, rest) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, rest)
}

/// What the processors did between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CpuUse {
    pub(crate) wall_s: f64,
    /// This process (and the server it measures, if any) outside the kernel.
    pub(crate) user_s: f64,
    /// The same inside the kernel.
    pub(crate) system_s: f64,
    /// Kernel threads: write-back, the file system's journal.
    pub(crate) kernel_threads_s: f64,
    /// Everybody else, and what the hypervisor took.
    pub(crate) foreign_s: f64,
}

impl CpuUse {
    /// Foreign load as a share of one core.
    pub(crate) fn foreign_share(&self) -> f64 {
        self.foreign_s / self.wall_s
    }

    /// The same for people.
    pub(crate) fn foreign_text(&self) -> String {
        format!("{:.0} %", 100.0 * self.foreign_share())
    }

    pub(crate) fn own_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

/// Begins where it is made.
pub(crate) struct CpuWatch {
    started: Instant,
    ours: Vec<u32>,
    own: [f64; 2],
    kernel: HashMap<u64, f64>,
    busy: f64,
}

impl CpuWatch {
    /// Watches this process and the `servers` that work for it.
    pub(crate) fn start(servers: &[u32]) -> Self {
        let ours: Vec<u32> = servers.iter().copied().chain([std::process::id()]).collect();
        Self { started: Instant::now(), own: own(&ours), kernel: kernel_threads(), busy: busy(), ours }
    }

    pub(crate) fn stop(self) -> CpuUse {
        let busy = busy() - self.busy;
        let [user, system] = own(&self.ours);
        let [user_before, system_before] = self.own;
        let (user_s, system_s) = (user - user_before, system - system_before);
        let kernel_threads_s =
            kernel_threads().iter().map(|(pid, now)| now - self.kernel.get(pid).copied().unwrap_or(0.0)).sum::<f64>().max(0.0);
        CpuUse {
            wall_s: self.started.elapsed().as_secs_f64(),
            user_s,
            system_s,
            kernel_threads_s,
            foreign_s: (busy - user_s - system_s - kernel_threads_s).max(0.0),
        }
    }
}

/// User and system seconds of these processes.
fn own(pids: &[u32]) -> [f64; 2] {
    let mut sum = [0.0; 2];
    for stat in pids.iter().filter_map(|pid| Stat::read(&pid.to_string())) {
        let [user, system] = &mut sum;
        *user += stat.user_s;
        *system += stat.system_s;
    }
    sum
}

/// CPU seconds of a process, in and outside the kernel.
pub(crate) fn process_seconds(pid: u32) -> f64 {
    own(&[pid]).iter().sum()
}

/// Seconds of each kernel thread.
fn kernel_threads() -> HashMap<u64, f64> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let stats = pids.filter_map(|name| Some((name.parse().ok()?, Stat::read(&name)?)));
    stats.filter(|(_, stat)| stat.parent == KTHREADD).map(|(pid, stat)| (pid, stat.user_s + stat.system_s)).collect()
}

struct Stat {
    parent: u64,
    user_s: f64,
    system_s: f64,
}

impl Stat {
    fn read(pid: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything. Behind it: state, parent, … utime and stime as 12th and 13th, then
        // those of the children that ended and were waited for.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            user_s: (ticks(11)? + ticks(13)?) * TICK_SECONDS,
            system_s: (ticks(12)? + ticks(14)?) * TICK_SECONDS,
        })
    }
}

/// Seconds that the processors were not idle, all together.
fn busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    match ticks.as_slice() {
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        [user, nice, system, _, _, irq, softirq, steal, ..] => (user + nice + system + irq + softirq + steal) * TICK_SECONDS,
        _ => 0.0,
    }
}

/// A line of `/proc/self/status` in bytes, such as `VmHWM`.
pub(crate) fn memory_bytes(name: &str) -> u64 {
    memory_bytes_of(std::process::id(), name)
}

/// The same of another process; 0 when it has ended.
pub(crate) fn memory_bytes_of(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes: u64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
    kibibytes * 1024
}

/// Makes `VmHWM` count from now on.
pub(crate) fn reset_memory_peak() {
    // Where the kernel does not allow it the peak includes the past: larger, never smaller.
    let _ = fs::write("/proc/self/clear_refs", "5");
}
