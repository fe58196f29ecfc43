//! Patterns of paths: `*` and `?` within a component, `**` across components; letters in either case.

/// A pattern.
#[derive(Debug, Clone)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// The pattern that a text stands for.
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase().split('/').map(str::to_owned).collect())
    }

    /// Whether it matches the whole of `path`.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        let components: Vec<&str> = path.split('/').collect();
        matches_components(&self.0, &components)
    }
}

/// Linear in pattern times path: only the last `**` is ever tried again.
fn matches_components(pattern: &[String], path: &[&str]) -> bool {
    let (mut p, mut c) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while c < path.len() {
        if p < pattern.len() && pattern[p] == "**" {
            star = Some((p, c));
            p += 1;
        } else if p < pattern.len() && matches_name(pattern[p].as_bytes(), path[c].as_bytes()) {
            p += 1;
            c += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            c = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| rest == "**")
}

fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_component_and_double_stars_cross() {
        let matches = |pattern: &str, path: &str| Pattern::new(pattern).matches(path);
        assert!(matches("*.exe", "A.EXE") && !matches("*.exe", "a/b.exe"));
        assert!(matches("**/*.exe", "a/b/c.exe") && matches("**/*.exe", "c.exe"));
        assert!(matches("tmp/**", "tmp/a/b") && !matches("tmp/**", "tmpx/a"));
        assert!(matches("a/**/z", "a/z") && matches("a/**/z", "a/b/c/z") && !matches("a/**/z", "a/b"));
        assert!(matches("?.csv", "1.csv") && !matches("?.csv", "12.csv"));
    }
}
