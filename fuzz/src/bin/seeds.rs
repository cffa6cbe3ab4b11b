//! Writes the examples of every target into a corpus folder: `seeds DIR` makes `DIR/<target>/example-<n>`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: seeds DIR");
        return ExitCode::from(2);
    };
    for (name, _, examples) in indelible_fuzz::TARGETS {
        let folder = dir.join(name);
        for (nth, example) in examples().iter().enumerate() {
            let written =
                std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(format!("example-{nth}")), example));
            if let Err(error) = written {
                eprintln!("error: could not write to {}: {error}", folder.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
