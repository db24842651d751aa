//! Near names: what the user may have meant. Takes a wrong name and those that exist; gives a hint's text.

/// How many names a hint offers at most.
const OFFERED_MAX: usize = 3;

/// Longer names are not compared: the distance takes time in the square of the length.
const COMPARED_CHARACTERS_MAX: usize = 255;

/// Those of `candidates` that are as near to `wanted` as a few slips of the finger, the nearest first.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted: Vec<char> = wanted.chars().collect();
    let mut found: Vec<(usize, &str)> =
        candidates.filter_map(|candidate| Some((distance_within(&wanted, candidate)?, candidate))).collect();
    found.sort_unstable();
    // A name that is clearly nearer makes the others noise.
    let nearest = found.first().map_or(0, |(distance, _)| *distance);
    found.into_iter().filter(|(distance, _)| *distance == nearest).take(OFFERED_MAX).map(|(_, name)| name).collect()
}

/// `Did you mean "a", "b" or "c"?`, or nothing for no names.
pub(crate) fn hint<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> Option<String> {
    let mut quoted: Vec<String> = names.into_iter().take(OFFERED_MAX).map(|name| format!("\"{name}\"")).collect();
    let last = quoted.pop()?;
    Some(if quoted.is_empty() {
        format!("Did you mean {last}?")
    } else {
        format!("Did you mean {} or {last}?", quoted.join(", "))
    })
}

/// The edit distance (insertions, deletions, replacements, swaps of neighbours), if it is small beside the names' length.
fn distance_within(wanted: &[char], candidate: &str) -> Option<usize> {
    let candidate: Vec<char> = candidate.chars().take(COMPARED_CHARACTERS_MAX + 1).collect();
    let length = wanted.len().max(candidate.len());
    let allowed = match length {
        0..=2 => 1,
        3..=5 => 2,
        _ => length / 3,
    };
    if length > COMPARED_CHARACTERS_MAX || wanted.len().abs_diff(candidate.len()) > allowed {
        return None;
    }
    let distance = distance(wanted, &candidate);
    (distance <= allowed && distance < length).then_some(distance)
}

/// Optimal string alignment, three rows at a time.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row];
        for column in 1..=right.len() {
            let same = left[row - 1] == right[column - 1];
            let mut best = (above[column - 1] + usize::from(!same)).min(above[column] + 1).min(current[column - 1] + 1);
            let swapped =
                row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1];
            if swapped {
                best = best.min(before[column - 2] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["orders", "order_items", "customers", "line_items", "o"];
        let cases: [(&str, &[&str]); 7] = [
            ("ordrs", &["orders"]),
            ("order", &["orders"]),
            ("odrers", &["orders"]),
            ("custmers", &["customers"]),
            ("lineitems", &["line_items"]),
            ("weather", &[]),
            ("x", &[]),
        ];
        for (wanted, found) in cases {
            assert_eq!(nearest(wanted, names.iter().copied()), found, "{wanted}");
        }
        assert_eq!(nearest("t3", ["t1", "t2", "t40"].into_iter()), ["t1", "t2"]);
        assert!(nearest(&"x".repeat(10_000), names.iter().copied()).is_empty());
    }

    #[test]
    fn hints_are_sentences() {
        assert_eq!(hint(Vec::<&str>::new()), None);
        assert_eq!(hint(["a"]).as_deref(), Some("Did you mean \"a\"?"));
        assert_eq!(hint(["a", "b", "c", "d"]).as_deref(), Some("Did you mean \"a\", \"b\" or \"c\"?"));
    }
}
