//! Which system libraries a program needs, and how new the C library must be.

/// The Debian packages, with versions where the program says them.
///
/// The names of libraries and the versions of their symbols stand in the program as plain texts; looking for them needs no parser, and what it
/// finds besides can only make the demand stricter.
pub(super) fn depends(program: &[u8]) -> Vec<String> {
    let mut packages = Vec::new();
    if let Some((major, minor)) = newest(program, b"GLIBC_") {
        packages.push(format!("libc6 (>= {major}.{minor})"));
    }
    if program.windows(LIBGCC.len()).any(|window| window == LIBGCC) {
        packages.push("libgcc-s1".to_owned());
    }
    packages
}

const LIBGCC: &[u8] = b"libgcc_s.so.1\0";

/// The greatest `major.minor` that stands behind `prefix`.
fn newest(program: &[u8], prefix: &[u8]) -> Option<(u32, u32)> {
    program
        .windows(prefix.len())
        .enumerate()
        .filter(|(_, window)| *window == prefix)
        .filter_map(|(at, _)| {
            let behind = program.get(at + prefix.len()..)?;
            let length = behind.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
            let mut parts = std::str::from_utf8(behind.get(..length)?).ok()?.split('.').map(|part| part.parse().ok());
            Some((parts.next()??, parts.next()??))
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts_as_a_number() {
        let program = b"\x7fELF\0libgcc_s.so.1\0libc.so.6\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_PRIVATE\0GLIBC_2.2.5\0";
        assert_eq!(depends(program), ["libc6 (>= 2.34)", "libgcc-s1"]);
        assert!(depends(b"static").is_empty());
    }
}
