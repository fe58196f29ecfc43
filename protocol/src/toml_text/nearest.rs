//! Which known word a misspelt one was meant to be.

/// The word that was probably meant: the nearest, where it is near enough.
pub fn nearest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let most = (word.chars().count() / 3).max(1);
    words.map(|known| (distance(word, known), known)).filter(|(far, _)| *far <= most).min().map(|(_, known)| known)
}

/// Letters to insert, delete, replace or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = above[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_the_one_that_was_meant() {
        let words = ["listen", "advertise", "key_exchange"];
        let meant = |word| nearest(word, words.into_iter());
        assert_eq!(meant("lisen"), Some("listen"));
        assert_eq!(meant("lsiten"), Some("listen"));
        assert_eq!(meant("key-exchange"), Some("key_exchange"));
        assert_eq!(meant("port"), None);
    }
}
