//! What is read of a store's answers: the texts of elements by name. Pure.

/// The insides of each element of that name, in order; of elements of that name within one of them, the inner's end counts.
pub fn each<'x>(xml: &'x str, name: &str) -> Vec<&'x str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some((_, behind)) = rest.split_once(&open) {
        let Some((inside, behind)) = behind.split_once(&close) else { break };
        found.push(inside);
        rest = behind;
    }
    found
}

/// The text of the first element of that name.
pub fn text(xml: &str, name: &str) -> Option<String> {
    each(xml, name).first().map(|text| plain(text))
}

/// A text without its entities.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        plain.push_str(before);
        let Some((entity, behind)) = behind.split_once(';') else {
            rest = behind;
            break;
        };
        let number = entity.strip_prefix("#x").map(|hex| u32::from_str_radix(hex, 16).ok());
        let number = number.or_else(|| entity.strip_prefix('#').map(|number| number.parse().ok()));
        plain.extend(match entity {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => number.flatten().and_then(char::from_u32),
        });
        rest = behind;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_name_and_entities_read() {
        let xml = "<R><Contents><Key>a&amp;b&#x41;&#66;</Key></Contents><Contents><Key>c</Key></Contents><Key>d</R>";
        let keys: Vec<_> = each(xml, "Contents").iter().filter_map(|one| text(one, "Key")).collect();
        assert_eq!(keys, ["a&bAB", "c"]);
        assert_eq!(text(xml, "Nothing"), None);
        assert_eq!(text("<K>&;&x;&</K>", "K").as_deref(), Some(""));
    }
}
