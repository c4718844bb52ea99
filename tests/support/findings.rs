//! The findings of `doctor`.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::TcpListener;

use super::host::Host;

/// The findings of one run.
pub struct Findings(pub serde_json::Value);

impl Findings {
    /// Runs `doctor` with `args`, and accepts any exit code.
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

    /// Returns the observation, the evidence and the fix of a check.
    pub fn words(&self, name: &str) -> String {
        let check = self.check(name);
        let evidence = check["evidence"].as_array().unwrap().iter();
        let evidence: Vec<&str> = evidence.map(|line| line.as_str().unwrap()).collect();
        let todo = check["do"].as_str().unwrap_or_default();
        format!("{}\n{}\n{todo}", check["seen"].as_str().unwrap(), evidence.join("\n"))
    }

    /// Fails the test unless the check has this verdict and its text contains all of `words`.
    pub fn says(&self, name: &str, verdict: &str, words: &[&str]) {
        let text = self.words(name);
        assert_eq!(self.verdict(name), verdict, "{name}: {text}");
        for word in words {
            assert!(text.contains(word), "{name} does not contain {word:?}: {text}");
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

/// Returns a free port of loopback.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
