//! Suggestions for misspelt names.

/// The candidate that `word` is most likely a misspelling of.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = flattened(word);
    // The comparison is quadratic in the length, and longer words are not names.
    if wanted.is_empty() || wanted.len() > 64 {
        return None;
    }
    let allowed = wanted.chars().count().div_ceil(3).min(3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 128)
        .map(|candidate| (strsim::osa_distance(&wanted, &flattened(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The help for `word`: a suggestion, or the list of candidates.
pub(crate) fn help(word: &str, candidates: &[&str]) -> Option<String> {
    if let Some(candidate) = closest(word, candidates.iter().copied()) {
        return Some(format!("did you mean `{candidate}`?"));
    }
    match candidates.len() {
        0 => None,
        n if n <= 16 => Some(format!("known here: {}", listed(candidates.iter().copied()))),
        _ => None,
    }
}

/// "`a`, `b` and `c`".
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The word without differences that do not count as misspelt: `display_name` is `displayName`.
fn flattened(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_recognised_and_other_words_are_not() {
        let known = ["name", "passwordFrom", "state", "nickname"];
        assert_eq!(closest("nmae", known), Some("name"));
        assert_eq!(closest("password_from", known), Some("passwordFrom"));
        assert_eq!(closest("colour", known), None);
        assert_eq!(closest(&"n".repeat(1000), known), None);
    }
}
