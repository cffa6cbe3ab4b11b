//! `cargo xtask test`: everything that must hold, on one profile, with one build of the workspace besides clippy's.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::arguments::Arguments;
use crate::checks;
use crate::gate::{Gate, Outcome};
use crate::package;
use crate::process::{self, cargo, command, root, target_dir};
use crate::setup;

/// Seeds of each simulation in the long gate. Kills and power cuts count their own runs.
const LONG_RUNS: &str = "20";

/// What the tests are told.
#[derive(Debug, Default)]
struct Told {
    corpus: Option<PathBuf>,
    python: Option<PathBuf>,
    long: bool,
}

impl Told {
    /// Runs a command that knows it.
    fn run(&self, mut command: Command) -> Outcome {
        if let Some(corpus) = &self.corpus {
            command.env("INDELIBLE_CORPUS", corpus);
        }
        if let Some(python) = &self.python {
            command.env("INDELIBLE_PYTHON", python);
        }
        if self.long {
            command.env("INDELIBLE_LONG", "1");
            if std::env::var_os("INDELIBLE_RUNS").is_none() {
                command.env("INDELIBLE_RUNS", LONG_RUNS);
            }
        }
        process::run(&mut command).map(|()| String::new())
    }
}

pub(crate) fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    let mut told = Told { long: arguments.take_flag("--long"), ..Told::default() };
    arguments.finish()?;
    let mut gate = Gate::default();

    gate.step("toolchain", setup::toolchain);
    gate.step("system packages", setup::packages);
    gate.step("python oracles", || {
        told.python = Some(setup::python()?);
        Ok(String::new())
    });
    gate.step("real events", || {
        told.corpus = setup::corpus()?;
        let none = "none found: the tests that need them will say that they skip";
        Ok(told.corpus.as_deref().map_or_else(|| none.to_owned(), |path: &Path| path.display().to_string()))
    });

    gate.step("format", || told.run(cargo(&["fmt", "--all", "--check", "--", "--files-with-diff"])));
    gate.step("clippy", || {
        told.run(cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"]))
    });
    gate.step("engine alone", || {
        // With the features that it has by itself, not those that its dependents ask for; then without sealing.
        told.run(cargo(&["check", "-p", "indelible", "--locked", "--quiet"]))?;
        told.run(cargo(&["check", "-p", "indelible", "--no-default-features", "--locked", "--quiet"]))
    });
    gate.step("tests", || told.run(cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])));
    gate.step("documentation", || {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        told.run(doc)
    });
    // Built by the tests above.
    gate.step("embedded example", || told.run(command(target_dir().join("debug").join("examples").join("embedded"), &[])));
    gate.step("verifier, clients", || {
        let python = told.python.as_ref().ok_or("there is no Python to run it")?;
        let mut tests = command(python, &["-m", "unittest"]);
        tests.current_dir(root().join("tools")).env("PYTHONDONTWRITEBYTECODE", "1");
        // Built by the tests above; sealed stores are made with it.
        tests.env("INDELIBLE_BINARY", target_dir().join("debug").join("indelible"));
        told.run(tests)
    });
    package::tries(&mut gate, &target_dir().join("debug").join("indelible"));
    gate.step("fuzz targets", || {
        // Without libFuzzer: the targets build on stable and hold on damaged examples.
        let mut targets = cargo(&["test", "--quiet", "--locked", "--lib", "--manifest-path", "fuzz/Cargo.toml"]);
        targets.env("CARGO_TARGET_DIR", target_dir());
        told.run(targets)
    });

    checks(&mut gate);
    Ok(gate.close())
}

/// `cargo xtask check`: the steps that build nothing.
pub(crate) fn run_checks(arguments: Arguments) -> Result<ExitCode, String> {
    arguments.finish()?;
    let mut gate = Gate::default();
    checks(&mut gate);
    Ok(gate.close())
}

fn checks(gate: &mut Gate) {
    gate.step("tree", checks::tree::run);
    gate.step("boundaries", checks::boundaries::run);
    gate.step("links", checks::links::run);
    gate.step("dependencies", checks::dependencies::run);
    gate.step("licences", checks::licences::run);
    gate.step("README", checks::readme::run);
}
