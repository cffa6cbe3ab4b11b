//! The gate's look at the container file. Nothing here can fetch its base images, so its last stage is made by hand: a folder with the program
//! and the libraries it names, entered by `chroot` as the user, with the variables and by the words of the file.

use std::net::TcpListener;
use std::path::Path;

use super::tried::Served;
use super::{Stage, read};
use crate::gate::Outcome;
use crate::process::{command, in_ci, output, run, target_dir};
use crate::setup::is_root;

const FILE: &str = "packaging/Containerfile";

/// What the file says of the image that it makes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Image {
    user: String,
    variables: Vec<(String, String)>,
    volume: String,
    stop_signal: String,
    health: Vec<String>,
    start: Vec<String>,
}

/// What starts in such an image serves, is healthy by its own words, and stops well.
pub(super) fn container(binary: &Path) -> Outcome {
    let image = Image::of(&read(FILE)?)?;
    if image.stop_signal != "SIGTERM" {
        return Err(format!("{FILE} stops the server with {}, which does not drain it", image.stop_signal));
    }
    if !is_root() {
        let why = "only root may enter another root directory";
        return if in_ci() { Err(why.into()) } else { Ok(format!("skipped: {why}")) };
    }
    let stage = Stage::make(&target_dir().join("package").join("rootfs"))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let program = stage.folder("usr/bin")?.join("indelible");
    run(&mut command("strip", &["--strip-unneeded", "-o", &text(&program), &text(binary)]))?;
    run(&mut command("chmod", &["0755", &text(&program)]))?;
    for library in libraries(&output(&mut command("ldd", &[&text(&program)]))?) {
        let to = stage.folder(library.rsplit_once('/').map_or("", |(folder, _)| folder.trim_start_matches('/')))?;
        run(&mut command("cp", &["--dereference", library, &text(&to)]))?;
    }
    let volume = stage.folder(image.volume.trim_start_matches('/'))?;
    run(&mut command("chown", &[&image.user, &text(&volume)]))?;

    // Any free port; the file's is perhaps taken.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| format!("there is no free port: {error}"))?.port();
    // By its path: without variables of ours, nobody knows where to look.
    let inside = |words: &[String]| {
        let mut inside = command("/usr/sbin/chroot", &[&format!("--userspec={}", image.user), &text(&stage.dir)]);
        inside.args(words).env_clear().envs(image.variables.iter().map(|(name, value)| (name, value)));
        inside.env("INDELIBLE_LISTEN_HTTP", format!("0.0.0.0:{port}"));
        inside
    };
    let mut start = inside(&image.start);
    let (served, _) = Served::start(start.args(["-o", "json"]))?;
    let healthy = |wanted: bool| {
        let status = inside(&image.health).output().map_err(|error| format!("could not ask for its health: {error}"))?;
        let said = String::from_utf8_lossy(&status.stderr).into_owned();
        if status.status.success() == wanted { Ok(()) } else { Err(format!("its health check says {}: {said}", status.status)) }
    };
    healthy(true)?;
    served.stop()?;
    healthy(false)?;
    Ok("its last stage, made by hand: serves, is healthy, stops; no base image was fetched, so the build itself was not tried"
        .into())
}

/// The files that `ldd` names.
fn libraries(told: &str) -> Vec<&str> {
    told.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))).collect()
}

impl Image {
    fn of(file: &str) -> Result<Self, String> {
        let mut image = Self::default();
        let (mut entry, mut arguments) = (Vec::new(), Vec::new());
        for (keyword, rest) in instructions(file) {
            match keyword.as_str() {
                "FROM" => (image, entry, arguments) = (Self::default(), Vec::new(), Vec::new()),
                "USER" => image.user = rest,
                "VOLUME" => image.volume = rest,
                "STOPSIGNAL" => image.stop_signal = rest,
                "ENTRYPOINT" => entry = words(&rest)?,
                "CMD" => arguments = words(&rest)?,
                "HEALTHCHECK" => {
                    let (_, check) = rest.split_once(" CMD ").ok_or("the health check has no command")?;
                    image.health = words(check)?;
                }
                "ENV" => {
                    let pairs = rest.split_whitespace().filter_map(|pair| pair.split_once('='));
                    image.variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
                }
                "ARG" | "WORKDIR" | "COPY" | "RUN" | "EXPOSE" => {}
                other => return Err(format!("{FILE}: {other} is no instruction that is known here")),
            }
        }
        image.start = [entry, arguments].concat();
        let empty = [&image.user, &image.volume].iter().any(|text| text.is_empty());
        if empty || image.start.is_empty() || image.health.is_empty() || image.user.starts_with('0') {
            return Err(format!("{FILE} lacks a user other than root, a volume, a start or a health check: {image:?}"));
        }
        Ok(image)
    }
}

/// Instructions and what follows them, lines that are continued joined.
fn instructions(file: &str) -> Vec<(String, String)> {
    let lines = file.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    let mut found = Vec::new();
    let mut whole = String::new();
    for line in lines {
        match line.trim_end().strip_suffix('\\') {
            Some(part) => whole.push_str(part),
            None => {
                whole.push_str(line);
                let (keyword, rest) = whole.trim().split_once(' ').unwrap_or((&whole, ""));
                found.push((keyword.to_owned(), rest.trim().to_owned()));
                whole.clear();
            }
        }
    }
    found
}

/// The words of a list in brackets. What a shell would have to read is not taken: the image has none.
fn words(list: &str) -> Result<Vec<String>, String> {
    let inner = list.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("{FILE}: `{list}` is for a shell, which need not be in the image"))?;
    Ok(inner.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_counts() {
        let file = "# x\nFROM a AS b\nUSER 0\nFROM c\nUSER 7:7\nENV A=1 \\\n    B=/b\nVOLUME /v\nSTOPSIGNAL SIGTERM\n\
                    HEALTHCHECK --timeout=1s CMD [\"/x\", \"health\"]\nENTRYPOINT [\"/x\"]\nCMD [\"serve\"]\n";
        let image = Image::of(file).unwrap();
        assert_eq!((image.user.as_str(), image.volume.as_str()), ("7:7", "/v"));
        assert_eq!(image.variables, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "/b".to_owned())]);
        assert_eq!((image.start, image.health), (vec!["/x".to_owned(), "serve".into()], vec!["/x".to_owned(), "health".into()]));
        assert!(Image::of(&file.replace("7:7", "0:0")).is_err());
        assert!(Image::of(&file.replace("[\"serve\"]", "serve")).is_err());
    }

    #[test]
    fn libraries_are_those_with_a_path() {
        let told = "\tlinux-vdso.so.1 (0x7)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7)\n\t/lib64/ld-linux-x86-64.so.2 (0x7)\n";
        assert_eq!(libraries(told), ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
