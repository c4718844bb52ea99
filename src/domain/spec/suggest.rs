//! Suggestions for misspelt names.

/// Returns the candidate that is most similar to `word`; `None` if no candidate is similar enough.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = flattened(word);
    // The comparison takes quadratic time in the length, and a longer word is not a misspelt name.
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

/// Returns the help for `word`: a suggestion, or the list of candidates. `None` if no candidate is
/// similar and there are no candidates or more than 16 candidates.
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

/// Returns the words as one phrase: "`a`, `b` and `c`".
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Returns `word` in lower case, without `_` and `-`, so that `display_name` equals `displayName`.
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
