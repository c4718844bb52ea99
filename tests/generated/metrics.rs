//! `docs/metrics.md`: every metric, from the registry.

use ejabberd_operator::adapters::metrics::{Description, Metrics};

use super::{code, head, table};

pub fn document() -> String {
    let metrics = Metrics::new().unwrap();
    let row = |Description { name, kind, labels, help }: &Description| {
        let labels: Vec<String> = labels.iter().map(|label| code(label)).collect();
        [code(name), format!("{kind:?}").to_lowercase(), labels.join(", "), help.clone()]
    };
    let mut rows: Vec<_> = metrics.descriptions().iter().map(row).collect();
    rows.sort();
    head(
        "Metrics",
        "`ejabberd-operator run` serves these metrics at `/metrics`, in the text format of Prometheus. \
         No label holds the name of an account or a room, or the text of an error.",
    ) + &table(["metric", "type", "labels", "meaning"], &rows)
}
