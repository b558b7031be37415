//! Comma separated lines as spreadsheets write them.

/// Fields of one line; none for a quote that does not close or text beside a quoted field.
pub fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let Some(quoted) = rest.trim_start().strip_prefix('"') else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            fields.push(field.trim().to_owned());
            match after {
                Some(after) => rest = after,
                None => return Some(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut left = quoted;
        loop {
            let (text, after) = left.split_once('"')?;
            field.push_str(text);
            match after.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    left = more;
                }
                None => {
                    left = after.trim_start();
                    break;
                }
            }
        }
        fields.push(field);
        match left.strip_prefix(',') {
            Some(after) => rest = after,
            None if left.trim().is_empty() => return Some(fields),
            None => return None,
        }
    }
}

/// A field as it is written: quoted where it must be.
pub fn field(text: &str) -> String {
    let special = |c: char| matches!(c, ',' | '"' | '\n' | '\r') || c.is_control();
    if text.contains(special) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_may_hold_commas_and_quotes() {
        let owned = |fields: &[&str]| Some(fields.iter().map(|f| (*f).to_owned()).collect());
        assert_eq!(fields("a, b ,"), owned(&["a", "b", ""]));
        assert_eq!(fields("\"a, \"\"b\"\"\" ,c"), owned(&["a, \"b\"", "c"]));
        assert_eq!(fields("\"\""), owned(&[""]));
        assert_eq!(fields("\"a"), None);
        assert_eq!(fields("\"a\"b,c"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["", "a b", "a,b", "say \"a\"", " a", "\"", ",\","] {
            let line = format!("{},x", field(text));
            assert_eq!(fields(&line), Some(vec![text.to_owned(), "x".to_owned()]));
        }
    }
}
