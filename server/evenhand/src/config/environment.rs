//! Variables over the file: `EVENHAND__DEFINITIONS__POSTGRES` sets `postgres` of `[definitions]`.

use toml::{Table, Value};

use super::Config;

/// Two underscores, so that no variable that other programs of the project use is taken for a setting.
const PREFIX: &str = "EVENHAND__";

/// The file's text, with the variables over it.
pub fn over(text: &str, name: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Config, String> {
    // First by itself: its errors name their line.
    let alone: Config = toml::from_str(text).map_err(|e| format!("{name}: {e}"))?;
    let mut table: Table = text.parse().map_err(|e| format!("{name}: {e}"))?;
    let mut set = Vec::new();
    for (variable, value) in variables {
        let Some(path) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        place(&mut table, &path.to_ascii_lowercase(), &value).map_err(|fault| format!("{variable}: {fault}"))?;
        set.push(variable);
    }
    if set.is_empty() {
        return Ok(alone);
    }
    set.sort();
    table
        .try_into()
        .map_err(|e| format!("{name} with {}: {e}", set.join(", ")))
}

fn place(table: &mut Table, path: &str, value: &str) -> Result<(), String> {
    match path.split_once("__") {
        None if path.is_empty() => Err("names no setting".into()),
        None => {
            table.insert(path.to_owned(), read(value));
            Ok(())
        }
        Some((section, rest)) => {
            let inner = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .ok_or_else(|| format!("`{section}` is no section"))?;
            place(inner, rest, value)
        }
    }
}

/// A number, a truth value or a list as TOML writes it; all else is text.
fn read(value: &str) -> Value {
    let parsed = format!("value = {value}").parse::<Table>();
    match parsed.ok().and_then(|mut table| table.remove("value")) {
        Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_))) => value,
        Some(Value::String(text)) => Value::String(text),
        _ => Value::String(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(set: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        set.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn variables_win_over_the_file_and_leave_the_rest() {
        let text = "rate_key = 7\n[definitions]\npostgres = \"postgres://a\"\nfeed = \"notify\"\n";
        let set = [
            ("EVENHAND__DEFINITIONS__POSTGRES", "postgres://b:5@c/d"),
            ("EVENHAND__MAX_CONNECTIONS", "12"),
            ("EVENHAND_CACHE", "ignored"),
        ];
        let config = over(text, "f", variables(&set)).unwrap();
        assert_eq!(config.definitions.postgres.unwrap().reveal(), "postgres://b:5@c/d");
        assert_eq!(config.definitions.feed, super::super::Feed::Notify);
        assert_eq!((config.rate_key.unwrap().get(), config.max_connections.get()), (7, 12));
    }

    #[test]
    fn a_misspelt_variable_is_refused_by_name() {
        let message = over("", "f", variables(&[("EVENHAND__DEFINITIONS__POSTGRESS", "x")])).unwrap_err();
        assert!(
            message.contains("EVENHAND__DEFINITIONS__POSTGRESS") && message.contains("postgress"),
            "{message}"
        );
    }
}
