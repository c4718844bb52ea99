//! A golden file: a comment that states the behaviour, and four sections.

use ejabberd_operator::domain::diff::diff;
use ejabberd_operator::domain::plan::plan;
use ejabberd_operator::domain::spec::validate;

use crate::{desired, inventory, observed, planned};

/// The sections, in their order.
const SECTIONS: [&str; 4] = ["desired", "observed", "inventory", "plan"];

/// One golden file, cut where its sections begin.
pub struct Golden<'t> {
    /// The behaviour.
    pub sentence: &'t str,
    /// Everything before the plan.
    pub head: &'t str,
    /// The plan in the file.
    pub expected: &'t str,
    sections: [&'t str; 3],
}

impl<'t> Golden<'t> {
    /// Cuts the text of a file.
    pub fn read(text: &'t str) -> Result<Self, String> {
        let mut starts = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if line.starts_with(|c: char| !c.is_whitespace() && c != '#') {
                starts.push((line.split(':').next().unwrap_or_default(), at));
            }
            at += line.len();
        }
        let names: Vec<&str> = starts.iter().map(|(name, _)| *name).collect();
        if names != SECTIONS {
            return Err(format!("its sections are {names:?}, not {SECTIONS:?}"));
        }
        let cut = |index: usize| &text[starts[index].1..starts[index + 1].1];
        let sentence = text.lines().next().and_then(|line| line.strip_prefix("# "));
        Ok(Self {
            sentence: sentence
                .ok_or("it does not begin with a comment that states its behaviour")?,
            head: &text[..starts[3].1],
            expected: &text[starts[3].1..],
            sections: [cut(0), cut(1), cut(2)],
        })
    }

    /// The plan that follows from the other sections.
    pub fn plan(&self) -> Result<String, String> {
        let [desired, observed, inventory] = self.sections;
        let validated = match validate(&[desired::file(desired)?]) {
            Ok(validated) => validated,
            Err(problems) => return Ok(planned::refused(&problems)),
        };
        let desired = &validated.desired;
        let inventory = inventory::read(inventory, desired)?;
        let observed = observed::read(observed, desired, &inventory)?;
        let set = diff(desired, &observed, &inventory);
        let plan = plan(&set, desired, &inventory, None);
        Ok(planned::text(&validated.warnings, &set, &plan))
    }
}
