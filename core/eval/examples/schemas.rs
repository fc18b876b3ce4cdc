//! Writes the JSON Schemas of the wire types: `cargo run --release -p evenhand-core --features schema --example schemas -- schemas`.
//! `make test` runs it into another folder and compares.

use std::path::Path;

use evenhand_core::schema::{event_schema, file_text, manifest_schema};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder to write to: schemas")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (name, schema) in [
        ("manifest.schema.json", manifest_schema()?),
        ("event.schema.json", event_schema()?),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, file_text(&schema))?;
        println!("{}", path.display());
    }
    Ok(())
}
