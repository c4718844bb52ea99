//! A golden file: a comment that states the behaviour, and four sections.

use ejabberd_operator::domain::diff::diff;
use ejabberd_operator::domain::plan::plan;
use ejabberd_operator::domain::spec::validate;

use crate::{desired, inventory, observed, planned};

/// The names of the sections, in the required order.
const SECTIONS: [&str; 4] = ["desired", "observed", "inventory", "plan"];

/// One golden file, split into its sections.
pub struct Golden<'t> {
    /// The sentence that states the behaviour, from the first line.
    pub sentence: &'t str,
    /// The text before the plan, which `UPDATE_GOLDEN=1` keeps.
    pub head: &'t str,
    /// The expected plan, which is the text of the last section.
    pub expected: &'t str,
    sections: [&'t str; 3],
}

impl<'t> Golden<'t> {
    /// Splits the text of a golden file. Fails if a section is missing, unknown or in another
    /// order, or if the first line is not a comment.
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

    /// Computes the plan from the other sections, or the list of errors if the desired state is
    /// invalid. Fails if a section cannot be read.
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
