//! An XMPP client logs in with the declared password over STARTTLS, and enters a declared room, on
//! the shipped configurations.

mod support;

#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod login {
    use std::fs;
    use std::process::Command;

    use crate::support::host::{Host, Ran};
    use crate::support::real::{docker, python};
    use crate::support::shipped::{self, DOMAIN};

    /// Runs the client in the network of the container: the hardened variant listens only on
    /// loopback.
    fn client(host: &Host, user: &str, password: &str, room: Option<&str>) -> Ran {
        fs::write(host.path("typed"), password).unwrap();
        let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &host.container]);
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &pid,
            "-n",
            &python(),
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/xmpp/login.py"),
        ]);
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            "5222",
            "--jid",
            &format!("{user}@{DOMAIN}"),
        ]);
        command.arg("--password-file").arg(host.path("typed"));
        if let Some(room) = room {
            command.args(["--room", &format!("{room}@conference.{DOMAIN}")]);
        }
        let output = command.output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn logs_in(version: &str) {
        let host = Host::new(version);
        shipped::certificate(&host);
        fs::write(host.path("secret"), "correct horse; battery $(staple)\n").unwrap();
        let objects = "  users: [{ name: ann, passwordFrom: { file: secret } }]\n  \
             rooms:\n    - { name: hall, title: Hall, options: { members_only: false } }\n    - { name: closed }\n";
        for variant in ["hardened", "permissive"] {
            shipped::declare(&host, "bridge", variant, objects);
            host.run(&["apply"]).expect(0);
            let password = "correct horse; battery $(staple)";
            let entered = client(&host, "ann", password, Some("hall")).expect(0);
            assert!(entered.stdout.contains("TLSv1"), "{variant}: {}", entered.stdout);
            assert_ne!(
                client(&host, "ann", "wrong", None).code,
                Some(0),
                "{variant}: a wrong password"
            );
            if variant == "hardened" {
                let refused = client(&host, "ann", password, Some("closed"));
                assert_ne!(
                    refused.code,
                    Some(0),
                    "rooms are members-only by default: {}",
                    refused.stdout
                );
            }
        }
        // Only the password in the file changes.
        fs::write(host.path("secret"), "another one\n").unwrap();
        host.run(&["apply"]).expect(0);
        client(&host, "ann", "another one", Some("hall")).expect(0);
    }
}

#[test]
fn a_client_logs_in_to_the_newest_version() {
    login::logs_in("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn a_client_logs_in_to_version_24_12() {
    login::logs_in("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn a_client_logs_in_to_version_23_01() {
    login::logs_in("23.01");
}
