//! A real Prometheus for one test: on loopback, with its data in a temporary directory. Dropping
//! the value ends Prometheus.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::host::{eventually, get};

/// Runs a program of the package `prometheus`, with `input` as its standard input.
pub fn run(program: &str, args: &[&str], input: Stdio) -> Output {
    let ran = Command::new(program).args(args).stdin(input).output();
    ran.unwrap_or_else(|e| panic!("{program}: {e}; scripts/test installs it (Debian: prometheus)"))
}

/// Runs `promtool`, and fails the test if `promtool` fails or prints a warning.
pub fn promtool(args: &[&str], input: Stdio) -> String {
    let Output { status, stdout, stderr } = run("promtool", args, input);
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && err.is_empty(), "promtool {args:?}\n{out}{err}");
    out.into_owned()
}

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts a Prometheus with these rules, which scrapes `target` each second under the job and
    /// instance names of the tests.
    pub fn start(target: &str, rules: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_owned();
        let path = |name: &str| home.join(name);
        fs::write(path("rules.yml"), rules).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: {JOB}\n    static_configs:\n      \
             - {{ targets: [\"{target}\"], labels: {{ instance: {INSTANCE} }} }}\n"
        );
        fs::write(path("prometheus.yml"), config).unwrap();
        // The port is free now. If another program takes the port first, Prometheus fails to start.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("prometheus: {e}; scripts/test installs it"));
        let mut prometheus = Self { child, address: free.to_string(), _directory: directory };
        eventually("Prometheus is ready", Duration::from_mins(1), || {
            let ended = prometheus.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(path("log")).unwrap_or_default());
            get(&prometheus.address, "/-/ready").is_some_and(|(code, _)| code == 200)
        });
        prometheus
    }

    fn ask(&self, path: &str) -> Value {
        let (code, body) = get(&self.address, path).expect("an answer");
        assert_eq!(code, 200, "{path}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {body}");
        answer["data"].clone()
    }

    /// Returns the current series of `query`, each with labels and value.
    pub fn now(&self, query: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(query)));
        let found = data["result"].as_array().unwrap().iter();
        found.map(|series| (labels(series), number(&series["value"][1]))).collect()
    }

    /// Returns the number of values of `query` in the last `seconds`.
    pub fn over(&self, query: &str, seconds: u64) -> usize {
        let end = jiff::Timestamp::now().as_second();
        let start = end - i64::try_from(seconds).unwrap();
        let query = encoded(query);
        let data =
            self.ask(&format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=1"));
        let series = data["result"].as_array().unwrap().iter();
        let values = series.flat_map(|series| series["values"].as_array().unwrap());
        values.filter(|value| !number(&value[1]).is_nan()).count()
    }

    /// Returns the names of all metrics from the operator.
    pub fn names(&self) -> Vec<String> {
        let matches = encoded(&format!("{{job=\"{JOB}\"}}"));
        let data = self.ask(&format!("/api/v1/label/__name__/values?match[]={matches}"));
        let names = data.as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Returns the state of an alert, `pending` or `firing`, and the annotations. `None` if the
    /// alert is inactive.
    pub fn alert(&self, name: &str) -> Option<(String, Value)> {
        let data = self.ask("/api/v1/alerts");
        let alert = data["alerts"].as_array().unwrap().iter();
        let mut alert = alert.filter(|alert| alert["labels"]["alertname"] == name);
        alert.next().map(|a| (a["state"].as_str().unwrap().to_owned(), a["annotations"].clone()))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The job and the instance of the operator under test.
pub const JOB: &str = "ejabberd-operator";
pub const INSTANCE: &str = "under-test";

fn labels(series: &Value) -> BTreeMap<String, String> {
    let labels = series["metric"].as_object().unwrap().iter();
    labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

/// Reads a file of the repository.
pub fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
