//! `cargo xtask bench`: our numbers, and the peers' where they are asked for.

use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::process::{cargo, run as run_command};

/// `--peers` builds the peers in, `--rocksdb` RocksDB too; everything else is the benchmark's own business.
pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    let (peers, rocksdb) = (arguments.take_flag("--peers"), arguments.take_flag("--rocksdb"));
    let rest = arguments.take_all();
    let mut bench = cargo(&["run", "--release", "--locked", "-p", "indelible-bench"]);
    if peers || rocksdb {
        bench.args(["--features", if rocksdb { "rocksdb" } else { "peers" }]);
    }
    bench.arg("--").args(&rest);
    if rest.is_empty() {
        bench.arg("all");
    }
    run_command(&mut bench).map(|()| ExitCode::SUCCESS)
}
