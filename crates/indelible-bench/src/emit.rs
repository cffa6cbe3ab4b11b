//! What an emit costs the thread that calls it.
//!
//! *Paced*: producers hand over events at a fixed rate, waiting for the next one's time by spinning, and time every call. A
//! producer that fell behind catches up without a pause. *Saturated*: they call in a loop. *Disabled*: the calls that remain in a
//! program whose store is off.

use std::hint::{black_box, spin_loop};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use indelible::{Config, Store};

use crate::cpu::{self, CpuUse, CpuWatch};
use crate::events::{Sample, Samples};
use crate::ingest::DurabilityArg;
use crate::latency::{Latencies, clock_overhead_ns, nanoseconds};
use crate::report::{Table, cells};
use crate::{Bench, Result};

/// Share of the time at the beginning that is not counted: buffers grow, files are made.
const WARM_UP: f64 = 0.1;
const DISABLED_CALLS: usize = 20_000_000;

#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// Threads that emit
    #[arg(long, default_value_t = 2)]
    producers: usize,
    /// Events per second of all producers together, when paced
    #[arg(long, default_value_t = 200_000.0)]
    rate: f64,
    /// Seconds of each run
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// When our store syncs
    #[arg(long, value_enum, default_value_t = DurabilityArg::Immediate)]
    durability: DurabilityArg,
    /// Only our own figures
    #[arg(long)]
    ours_only: bool,
}

impl EmitArgs {
    pub(crate) fn short() -> Self {
        Self { producers: 2, rate: 200_000.0, seconds: 2.0, durability: DurabilityArg::Immediate, ours_only: false }
    }
}

/// Something that takes events from the threads of an application.
pub(crate) trait Emitter: Sync {
    fn name(&self) -> &'static str;

    /// Builds an event from its pieces and hands it over.
    fn emit(&self, sample: &Sample) -> Result<()>;

    /// As `emit`; tells the moment between building and handing over, where the two are apart.
    fn emit_timed(&self, sample: &Sample) -> Result<Option<Instant>> {
        self.emit(sample).map(|()| None)
    }

    /// How many calls had to wait or were refused, if it counts them.
    fn hindered(&self) -> Option<u64> {
        None
    }
}

pub(crate) fn run(bench: &mut Bench, args: &EmitArgs) -> Result<()> {
    let overhead = clock_overhead_ns();
    let mut paced = Table::new(
        format!("emit, paced: {} producers, {:.0} events/s together, {} s", args.producers, args.rate, args.seconds),
        &["subject", "part", "p50 ns", "p99 ns", "p99.9 ns", "max µs", "events/s", "hindered", "foreign CPU"],
    );
    let mut saturated = Table::new(
        format!("emit, saturated: {} producers, {} s", args.producers, args.seconds),
        &["subject", "events/s", "caller CPU ns/event", "process CPU ns/event", "foreign CPU"],
    );
    {
        let dir = bench.place.fresh("emit")?;
        let ours = Ours::open(dir.path(), args)?;
        measure(&ours, args, &bench.samples, overhead, (&mut paced, &mut saturated))?;
        let Ours { store } = ours;
        store.close()?;
    }
    #[cfg(feature = "peers")]
    if !args.ours_only {
        use crate::emit_peers::{Spdlog, Tracing};
        let dir = bench.place.fresh("emit")?;
        measure(&Tracing::open(dir.path())?, args, &bench.samples, overhead, (&mut paced, &mut saturated))?;
        let dir = bench.place.fresh("emit")?;
        measure(&Spdlog::open(dir.path())?, args, &bench.samples, overhead, (&mut paced, &mut saturated))?;
        paced.note("tracing-appender formats typed fields as JSON in the call; spdlog-rs is given the finished JSON text");
        paced.note("neither promises durability or proof");
    }
    paced.note(format!("the clock's own {overhead} ns per reading are subtracted; {}", bench.samples.describe()));
    paced.note("max and p99.9 contain what the scheduler does when the producers and the writers share the cores");
    bench.report.add(paced)?;
    bench.report.add(saturated)?;
    bench.report.add(disabled(&bench.samples)?)
}

/// Our store.
struct Ours {
    store: Store,
}

impl Ours {
    fn open(dir: &Path, args: &EmitArgs) -> Result<Self> {
        let mut config = Config::new(dir.join("store"));
        config.durability = args.durability.durability();
        Ok(Self { store: Store::open(config)? })
    }
}

impl Emitter for Ours {
    fn name(&self) -> &'static str {
        "indelible"
    }

    #[inline]
    fn emit(&self, sample: &Sample) -> Result<()> {
        self.store.emit(&sample.draft())?;
        Ok(())
    }

    #[inline]
    fn emit_timed(&self, sample: &Sample) -> Result<Option<Instant>> {
        let draft = sample.draft();
        black_box(&draft);
        let built = Instant::now();
        self.store.emit(&draft)?;
        Ok(Some(built))
    }

    fn hindered(&self) -> Option<u64> {
        Some(self.store.stats().lanes.iter().map(|lane| lane.blocked + lane.shed + lane.refused).sum())
    }
}

fn measure(
    emitter: &impl Emitter,
    args: &EmitArgs,
    samples: &Samples,
    overhead: u64,
    (paced_table, saturated_table): (&mut Table, &mut Table),
) -> Result<()> {
    let paced = paced(emitter, args, samples, overhead)?;
    for (part, latencies) in [("build + emit", &paced.whole), ("build", &paced.build), ("emit", &paced.hand_over)] {
        if latencies.count() > 0 {
            paced_table.row(cells![
                emitter.name(),
                part,
                latencies.quantile_ns(0.5),
                latencies.quantile_ns(0.99),
                latencies.quantile_ns(0.999),
                latencies.max_ns().map(|ns| ns as f64 / 1e3),
                paced.whole.count() as f64 / paced.seconds,
                paced.hindered,
                paced.cpu.foreign_text(),
            ]);
        }
    }
    let saturated = saturated(emitter, args, samples)?;
    let events = saturated.events as f64;
    saturated_table.row(cells![
        emitter.name(),
        events / saturated.cpu.wall_s,
        saturated.caller_cpu_s * 1e9 / events,
        saturated.cpu.own_s() * 1e9 / events,
        saturated.cpu.foreign_text(),
    ]);
    Ok(())
}

struct Paced {
    build: Latencies,
    hand_over: Latencies,
    whole: Latencies,
    seconds: f64,
    hindered: Option<u64>,
    cpu: CpuUse,
}

fn paced(emitter: &impl Emitter, args: &EmitArgs, samples: &Samples, overhead: u64) -> Result<Paced> {
    let hindered_before = emitter.hindered();
    let watch = CpuWatch::start(&[]);
    let start = Instant::now() + Duration::from_millis(5);
    let parts: Vec<[Latencies; 3]> = thread::scope(|scope| {
        let threads: Vec<_> = (0..args.producers)
            .map(|nth| scope.spawn(move || paced_producer(emitter, args, samples, overhead, start, nth)))
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a producer panicked")?).collect::<Result<_>>()
    })?;
    let cpu = watch.stop();
    let mut sums = [Latencies::new()?, Latencies::new()?, Latencies::new()?];
    for part in &parts {
        for (sum, latencies) in sums.iter_mut().zip(part) {
            sum.add(latencies)?;
        }
    }
    let [build, hand_over, whole] = sums;
    let hindered = emitter.hindered().zip(hindered_before).map(|(after, before)| after - before);
    Ok(Paced { build, hand_over, whole, seconds: args.seconds * (1.0 - WARM_UP), hindered, cpu })
}

/// Emits every `producers`-th event at its time.
fn paced_producer(
    emitter: &impl Emitter,
    args: &EmitArgs,
    samples: &Samples,
    overhead: u64,
    start: Instant,
    nth: usize,
) -> Result<[Latencies; 3]> {
    let [mut build, mut hand_over, mut whole] = [Latencies::new()?, Latencies::new()?, Latencies::new()?];
    let period = Duration::from_secs_f64(1.0 / args.rate);
    let counted_from = start + Duration::from_secs_f64(args.seconds * WARM_UP);
    let end = start + Duration::from_secs_f64(args.seconds);
    let step = u32::try_from(args.producers)?;
    let mut due = start + period * u32::try_from(nth)?;
    let mut event = nth;
    while due < end {
        let sample = samples.at(event);
        black_box(sample.touch());
        while Instant::now() < due {
            spin_loop();
        }
        let before = Instant::now();
        let built = emitter.emit_timed(sample)?;
        let after = Instant::now();
        if due >= counted_from {
            let readings = if built.is_some() { 2 } else { 1 };
            whole.record(nanoseconds(after - before).saturating_sub(readings * overhead));
            if let Some(built) = built {
                build.record(nanoseconds(built - before).saturating_sub(overhead));
                hand_over.record(nanoseconds(after - built).saturating_sub(overhead));
            }
        }
        due += period * step;
        event += args.producers;
    }
    Ok([build, hand_over, whole])
}

struct Saturated {
    events: u64,
    caller_cpu_s: f64,
    cpu: CpuUse,
}

fn saturated(emitter: &impl Emitter, args: &EmitArgs, samples: &Samples) -> Result<Saturated> {
    let watch = CpuWatch::start(&[]);
    let end = Instant::now() + Duration::from_secs_f64(args.seconds);
    let parts: Vec<(u64, f64)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..args.producers)
            .map(|nth| {
                scope.spawn(move || {
                    let before = cpu::thread_cpu();
                    let mut events = 0u64;
                    let mut event = nth * samples.len() / args.producers;
                    while Instant::now() < end {
                        for _ in 0..64 {
                            emitter.emit(samples.at(event))?;
                            event += 1;
                        }
                        events += 64;
                    }
                    Ok((events, (cpu::thread_cpu() - before).as_secs_f64()))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a producer panicked")?).collect::<Result<_>>()
    })?;
    Ok(Saturated {
        events: parts.iter().map(|(events, _)| events).sum(),
        caller_cpu_s: parts.iter().map(|(_, seconds)| seconds).sum(),
        cpu: watch.stop(),
    })
}

/// What is left of the calls when the store is disabled.
fn disabled(samples: &Samples) -> Result<Table> {
    let store = Store::disabled();
    let draft = samples.at(0).draft();
    let emit = per_call(|_| black_box(&store).emit(black_box(&draft)).is_ok());
    let build_and_emit = per_call(|nth| black_box(&store).emit(&samples.at(nth).draft()).is_ok());
    let guarded = per_call(|nth| black_box(&store).is_enabled() && store.emit(&samples.at(nth).draft()).is_ok());
    let empty = per_call(|_| black_box(&store).is_enabled());
    let mut table = Table::new("emit, disabled store, one thread in a loop", &["call", "ns/call"]);
    table.row(cells!["emit of a draft that is there", emit]);
    table.row(cells!["build a draft and emit it", build_and_emit]);
    table.row(cells!["build and emit only if is_enabled()", guarded]);
    table.row(cells!["is_enabled() alone: what the loop itself costs", empty]);
    table.note("CPU time of the thread; the loop's own cost is not subtracted");
    Ok(table)
}

/// CPU nanoseconds of one call in a loop of many.
fn per_call(call: impl Fn(usize) -> bool) -> f64 {
    let before = cpu::thread_cpu();
    for nth in 0..DISABLED_CALLS {
        black_box(call(nth));
    }
    (cpu::thread_cpu() - before).as_secs_f64() * 1e9 / DISABLED_CALLS as f64
}
