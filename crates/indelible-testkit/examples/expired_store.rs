//! Writes a store whose beginning has expired into the directory that is given: for tests that are not written in Rust.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("which directory shall it be written to?")?.into();
    indelible_testkit::expired::store(&folder)?;
    Ok(())
}
