//! The findings of `doctor`.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::TcpListener;

use super::host::Host;

/// The findings of one run.
pub struct Findings(pub serde_json::Value);

impl Findings {
    /// Runs `doctor` with `args`, whatever its exit code.
    pub fn of(host: &Host, args: &[&str]) -> Self {
        Self(host.run(&[&["doctor", "--output", "json"], args].concat()).json())
    }

    pub fn check(&self, name: &str) -> &serde_json::Value {
        let checks = self.0["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("no {name} in {:#}", self.0))
    }

    pub fn verdict(&self, name: &str) -> &str {
        self.check(name)["verdict"].as_str().unwrap()
    }

    /// Everything that a check says, in one text.
    pub fn words(&self, name: &str) -> String {
        let check = self.check(name);
        let evidence = check["evidence"].as_array().unwrap().iter();
        let evidence: Vec<&str> = evidence.map(|line| line.as_str().unwrap()).collect();
        let todo = check["do"].as_str().unwrap_or_default();
        format!("{}\n{}\n{todo}", check["seen"].as_str().unwrap(), evidence.join("\n"))
    }

    /// Fails the test unless the check has this verdict, and says all of `words`.
    pub fn says(&self, name: &str, verdict: &str, words: &[&str]) {
        let said = self.words(name);
        assert_eq!(self.verdict(name), verdict, "{name}: {said}");
        for word in words {
            assert!(said.contains(word), "{name} does not say {word:?}: {said}");
        }
    }

    pub fn with_verdict(&self, verdict: &str) -> Vec<&str> {
        let checks = self.0["checks"].as_array().unwrap().iter();
        let checks = checks.filter(|check| check["verdict"] == verdict);
        checks.map(|check| check["check"].as_str().unwrap()).collect()
    }

    pub fn likely(&self) -> &str {
        self.0["likely"]["check"].as_str().unwrap_or("nothing")
    }
}

/// A port of loopback that no program has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
