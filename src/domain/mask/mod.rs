//! Replaces secrets in text that people see.
//!
//! Two kinds of files hold secrets, and each kind has its own names for secrets: the configuration
//! of ejabberd ([`configuration`]) and the desired state ([`desired_state`]). Both modules find
//! secrets with [`SecretNames`] and replace a secret with [`MASK`].

pub(crate) mod configuration;
pub(crate) mod desired_state;
pub(crate) mod document;

/// The text that replaces a secret.
pub(crate) const MASK: &str = "***";

/// Decides whether a name, such as the name of an option, announces a secret.
pub(crate) struct SecretNames {
    /// Lower-case words. A name that contains such a word announces a secret.
    pub(crate) words: &'static [&'static str],
    /// Whole names that contain such a word and announce no secret.
    pub(crate) harmless: &'static [&'static str],
}

impl SecretNames {
    /// Whether a lower-case `name` announces a secret.
    pub(crate) fn announces(&self, name: &str) -> bool {
        !self.harmless.contains(&name) && self.words.iter().any(|word| name.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_secret_word_is_secret_unless_it_is_listed_as_harmless() {
        let names = SecretNames { words: &["key", "token"], harmless: &["monkey"] };
        assert!(names.announces("api_key") && names.announces("tokens"));
        assert!(!names.announces("monkey") && !names.announces("name"));
        assert!(names.announces("monkeys"), "only the whole name is harmless");
    }
}
