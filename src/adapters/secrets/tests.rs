use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

async fn read(source: SecretSource) -> Result<String, String> {
    let secret = FileSecrets::new().read(&source).await;
    secret.map(|s| s.expose().to_owned()).map_err(|e| e.to_string())
}

fn sh(script: &str) -> SecretSource {
    SecretSource::Command(vec!["sh".into(), "-c".into(), script.into()])
}

#[tokio::test]
async fn only_one_newline_at_the_end_of_a_file_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    for (content, secret) in
        [("pw\n", "pw"), ("pw", "pw"), (" p w \n", " p w "), ("pässwörd", "pässwörd")]
    {
        std::fs::write(&path, content).unwrap();
        assert_eq!(read(SecretSource::File(path.clone())).await.as_deref(), Ok(secret));
    }
}

#[tokio::test]
async fn passwords_that_ejabberd_refuses_are_refused_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let long = "hunter2".repeat(2000);
    let longer = "hunter2".repeat(20_000);
    for (content, problem) in [
        (&b""[..], "empty"),
        (b"\n", "empty"),
        (b"hunter2\n\n", "more than one line"),
        (b"hunter2\r\n", "more than one line"),
        (b"hun\tter2", "tab"),
        (b"hunter2\x07", "control character"),
        (b"hunter2\xff", "not UTF-8"),
        (long.as_bytes(), "at most 8184"),
        (longer.as_bytes(), "longer than 65536 bytes"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = read(SecretSource::File(path.clone())).await.unwrap_err();
        assert!(error.contains(problem) && error.contains("secret"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let inline = read(SecretSource::Inline(Secret::new("hunter2\n".into()))).await.unwrap_err();
    assert!(inline.contains("inline") && !inline.contains("hunter2"), "{inline}");
}

#[tokio::test]
async fn variables_are_read_and_named_in_errors() {
    assert!(read(SecretSource::Env("PATH".into())).await.is_ok());
    let error = read(SecretSource::Env("NO_SUCH_VARIABLE".into())).await.unwrap_err();
    assert!(error.contains("NO_SUCH_VARIABLE") && error.contains("not set"), "{error}");
    for place in ["/no/such/file", "/dev"] {
        let error = read(SecretSource::File(place.into())).await.unwrap_err();
        assert!(error.contains(place), "{error}");
    }
    assert!(read(SecretSource::Generate).await.is_err());
}

#[tokio::test]
async fn a_program_prints_a_secret() {
    assert_eq!(read(sh("printf 'pw\\n'")).await.as_deref(), Ok("pw"));
    // The program gets no input, and no shell interprets the argument.
    let echo = SecretSource::Command(vec!["echo".into(), "$HOME; x".into()]);
    assert_eq!(read(echo).await.as_deref(), Ok("$HOME; x"));
    assert_eq!(read(sh("cat; echo pw")).await.as_deref(), Ok("pw"));
    assert_eq!(read(sh("head -c 300000 /dev/zero >&2; echo pw")).await.as_deref(), Ok("pw"));
}

#[tokio::test]
async fn the_error_of_a_failed_program_does_not_contain_its_standard_output() {
    let error = read(sh("echo hunter2; echo; echo no vault >&2; echo more >&2; exit 3")).await;
    let error = error.unwrap_err();
    assert!(error.contains("exit status: 3: no vault"), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("more"), "{error}");
    let error = read(sh("head -c 300000 /dev/zero")).await.unwrap_err();
    assert!(error.contains("printed more than 65536"), "{error}");
    let error = read(SecretSource::Command(vec!["/no/such/program".into()])).await.unwrap_err();
    assert!(error.contains("/no/such/program"), "{error}");
    assert!(read(SecretSource::Command(vec![])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_killed() {
    let error = read(sh("exec sleep 1000")).await.unwrap_err();
    assert!(error.contains("within 30 s"), "{error}");
}

#[test]
fn generated_passwords_have_a_fixed_length_and_use_each_permitted_character_equally() {
    let mut seen = [0_u32; 256];
    for _ in 0..2000 {
        let password = FileSecrets::new().generate().unwrap();
        assert_eq!(password.expose().len(), GENERATED_LENGTH);
        password.expose().bytes().for_each(|byte| seen[usize::from(byte)] += 1);
    }
    // 857 uses of each character are expected; six standard deviations are 174.
    for byte in 0..=255_u8 {
        let expected = if ALPHABET.contains(&byte) { 680..1035 } else { 0..1 };
        assert!(expected.contains(&seen[usize::from(byte)]), "{byte}: {}", seen[usize::from(byte)]);
    }
}

#[tokio::test]
async fn a_password_is_published_with_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().join("made/here");
    let sink = |mode| SecretSink { file: parent.join("bot"), mode };
    let stat = || sink(0).file.metadata().unwrap();
    let (one, two) = (Secret::new("one".into()), Secret::new("two".into()));

    let publish = |mode, password: &Secret, before: &'static str| {
        let (sink, password) = (sink(mode), password.clone());
        async move {
            let is_ours = Box::new(move |there: &Secret| there.expose() == before);
            FileSecrets::new().publish(&sink, &password, is_ours).await
        }
    };
    publish(0o640, &one, "").await.unwrap();
    assert_eq!(std::fs::read_to_string(sink(0).file).unwrap(), "one");
    assert_eq!(stat().mode() & 0o7777, 0o640);
    assert_eq!(parent.metadata().unwrap().mode() & 0o7777, 0o700);

    let inode = stat().ino();
    publish(0o640, &one, "").await.unwrap();
    assert_eq!(stat().ino(), inode, "an unchanged file must not be written again");
    publish(0o666, &one, "").await.unwrap();
    assert_eq!(stat().mode() & 0o7777, 0o666);
    // The publication removes a draft that a killed operator left behind.
    std::fs::write(parent.join(".ejabberd-operator-0123456789abcdef"), "half").unwrap();
    publish(0o600, &two, "one").await.unwrap();
    assert_eq!(std::fs::read_to_string(sink(0).file).unwrap(), "two");
    assert_eq!(std::fs::read_dir(&parent).unwrap().count(), 1);
}

/// Devices, links, and files of other programs are not changed.
#[tokio::test]
async fn only_files_of_the_operator_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    std::fs::write(place("theirs"), "host: example.org").unwrap();
    std::os::unix::fs::symlink(place("theirs"), place("link")).unwrap();
    std::os::unix::fs::symlink(place("nowhere"), place("dangling")).unwrap();
    // Use another device with the numbers of `/dev/null`, so that the test cannot damage the real
    // device.
    let mknod =
        std::process::Command::new("mknod").arg(place("null")).args(["c", "1", "3"]).status();
    assert!(mknod.unwrap().success());
    let secret = Secret::new("hunter2".into());
    for name in ["theirs", "link", "dangling", "null"] {
        let sink = SecretSink { file: place(name), mode: 0o600 };
        let is_ours = Box::new(|there: &Secret| there.expose() == "something else");
        let error = FileSecrets::new().publish(&sink, &secret, is_ours).await.unwrap_err();
        assert!(error.to_string().contains("move it away"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(place("theirs")).unwrap(), "host: example.org");
    assert!(place("link").is_symlink() && !place("nowhere").exists());
    assert!(!std::fs::metadata(place("null")).unwrap().is_file());
}

#[tokio::test]
async fn a_failed_publication_is_an_error_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("taken")).unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let secret = Secret::new("hunter2".into());
    for file in ["taken", "file/below"] {
        let sink = SecretSink { file: dir.path().join(file), mode: 0o600 };
        let error = FileSecrets::new()
            .publish(&sink, &secret, Box::new(|_| true))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(file) && !error.contains("hunter2"), "{error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn files_of_the_desired_state_are_read_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ejabberd.yml");
    std::fs::write(&path, b"a\n\xff\n").unwrap();
    let secrets = FileSecrets::new();
    assert_eq!(secrets.read_file(&path).await.unwrap(), b"a\n\xff\n");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(17 << 20).unwrap();
    assert!(secrets.read_file(&path).await.unwrap_err().to_string().contains("longer"));
    let error = secrets.read_file(&dir.path().join("gone")).await.unwrap_err().to_string();
    assert!(error.contains("no such file; put it there"), "{error}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Returns whether a process runs. A zombie does not run.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with(['Z', 'X']))
}

async fn ends(pid: &str) -> bool {
    for _ in 0..100 {
        if !runs(pid) {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn a_program_inherits_no_environment_or_descriptors() {
    use std::os::fd::AsRawFd;
    // The test needs an environment with variables that the program could inherit. `cargo` sets
    // dozens of variables for a test.
    assert!(std::env::vars().count() > 3);
    let program = SecretSource::Command(vec!["env".into()]);
    let SecretSource::Command(argv) = &program else { unreachable!() };
    let printed = command::output(argv).await.unwrap();
    let printed = String::from_utf8(printed.to_vec()).unwrap();
    let mut names: Vec<&str> = printed.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert!(names == ["HOME", "LANG", "PATH"] || names == ["LANG", "PATH"], "{names:?}");
    assert!(printed.contains("LANG=C.UTF-8"), "{printed}");

    // Simulates a parent process that left a file open when it started the operator.
    let dir = tempfile::tempdir().unwrap();
    let left = std::fs::File::create(dir.path().join("left open")).unwrap();
    rustix::io::fcntl_setfd(&left, rustix::io::FdFlags::empty()).unwrap();
    let number = left.as_raw_fd();
    let script = format!("[ -e /proc/self/fd/{number} ] && echo open || echo closed");
    assert_eq!(read(sh(&script)).await.as_deref(), Ok("closed"));
    let own = read(sh("ls -l /proc/self/fd/0 | grep -o /dev/null; ps -o pgid= -p $$ >&2")).await;
    assert_eq!(own.as_deref(), Ok("/dev/null"));
}

#[tokio::test]
async fn children_of_a_program_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let note = format!("echo $! >{}", file.display());
    let pid = || std::fs::read_to_string(&file).unwrap();
    for (script, answer) in [
        // A child that keeps the pipes open, a child without the pipes, and a grandchild.
        (format!("sleep 1000 & {note}; echo pw"), Ok("pw")),
        (format!("sleep 1000 >/dev/null 2>&1 & {note}; echo pw"), Ok("pw")),
        (format!("sh -c 'sleep 1000; :' & {note}; echo pw"), Ok("pw")),
        (format!("sleep 1000 & {note}; exit 3"), Err("exit status: 3")),
        (format!("sleep 1000 & {note}; exec cat /dev/zero"), Err("printed more")),
        (format!("trap '' TERM HUP INT; sleep 1000 & {note}; echo pw"), Ok("pw")),
    ] {
        let began = std::time::Instant::now();
        let read = read(sh(&script)).await;
        match answer {
            Ok(secret) => assert_eq!(read.as_deref(), Ok(secret), "{script}"),
            Err(words) => assert!(read.as_ref().unwrap_err().contains(words), "{script}: {read:?}"),
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{script}");
        assert!(ends(&pid()).await, "{script}: the process still runs");
    }
    // A child in a separate session is not killed, but does not delay the result.
    let script = format!("setsid sleep 20 & {note}; echo pw");
    let began = std::time::Instant::now();
    assert_eq!(read(sh(&script)).await.as_deref(), Ok("pw"));
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn a_program_is_killed_when_its_caller_stops_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let script = format!("sleep 1000 & echo $$ $! >{}; sleep 1000", file.display());
    for whole in [false, true] {
        let _ = std::fs::remove_file(&file);
        let source = sh(&script);
        let waiting = tokio::spawn(async move { read(source).await });
        let mut pids = String::new();
        while pids.split_whitespace().count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            pids = std::fs::read_to_string(&file).unwrap_or_default();
        }
        if whole {
            // The operator calls this function before it exits.
            end_programs();
            assert!(waiting.await.unwrap().unwrap_err().contains("SIGKILL"));
        } else {
            waiting.abort();
        }
        for pid in pids.split_whitespace() {
            assert!(ends(pid).await, "{pid} of {pids} still runs");
        }
    }
}
