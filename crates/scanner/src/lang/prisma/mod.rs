//! Prisma schemas: models with their columns and relations.
//!
//! Read line by line: a field is one line, and its attributes say what is needed here.

use super::sql::{Column, Name};

/// A model of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The name in code: `prisma.document` is the model `Document`.
    pub name: String,
    /// The table.
    pub table: Name,
    /// Its columns, by their names in the database.
    pub columns: Vec<Column>,
    /// The line, from 1.
    pub line: u32,
}

/// Reads the models of a schema. What is no model is left out; nothing fails.
#[must_use]
pub fn models(text: &str) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    let mut open: Option<Model> = None;
    // Fields whose type is a model, with the columns that hold its key.
    let mut relations: Vec<(usize, String, Vec<String>)> = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    // Columns of a type that may be a model: the other side of a relation is no column.
    let mut typed: Vec<(usize, String, String)> = Vec::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.split("//").next().unwrap_or(line).trim();
        let Some(model) = &mut open else {
            let mut words = line.split_whitespace();
            if matches!(words.next(), Some("model" | "view"))
                && let Some(name) = words.next()
            {
                let name = name.trim_end_matches('{').to_owned();
                open = Some(Model { table: Name::bare(&name), name, columns: Vec::new(), line: number });
                fields.clear();
            }
            continue;
        };
        if line == "}" {
            models.extend(open.take());
        } else if let Some(table) = attribute(line, "@@map") {
            model.table.name = table;
        } else if let Some(schema) = attribute(line, "@@schema") {
            model.table.schema = Some(schema);
        } else if !line.starts_with("@@") {
            let mut words = line.split_whitespace();
            let (Some(name), Some(kind)) = (words.next(), words.next()) else { continue };
            if line.contains("@relation") {
                if let Some(columns) = list(line, "fields:") {
                    let to = kind.trim_end_matches(['?', '[', ']']).to_owned();
                    let columns = columns
                        .iter()
                        .map(|field| {
                            fields
                                .iter()
                                .find(|(known, _)| known == field)
                                .map_or(field.clone(), |(_, column)| column.clone())
                        })
                        .collect();
                    relations.push((models.len(), to, columns));
                }
            } else if !kind.ends_with("[]") {
                let column = attribute(line, "@map").unwrap_or_else(|| name.to_owned());
                fields.push((name.to_owned(), column.clone()));
                typed.push((models.len(), column.clone(), kind.trim_end_matches('?').to_owned()));
                model.columns.push(Column {
                    name: column,
                    kind: None,
                    nullable: kind.ends_with('?'),
                    references: None,
                });
            }
        }
    }
    resolve(&mut models, typed, relations);
    models
}

/// Drops the other sides of relations, and says which tables the columns of this side refer to.
fn resolve(
    models: &mut [Model],
    typed: Vec<(usize, String, String)>,
    relations: Vec<(usize, String, Vec<String>)>,
) {
    for (at, column, kind) in typed {
        if models.iter().any(|model| model.name == kind)
            && let Some(model) = models.get_mut(at)
        {
            model.columns.retain(|known| known.name != column);
        }
    }
    for (at, to, columns) in relations {
        let to = models
            .iter()
            .find(|model| model.name == to)
            .map_or_else(|| Name::bare(&to), |model| model.table.clone());
        if let Some(model) = models.get_mut(at) {
            for column in model.columns.iter_mut().filter(|column| columns.contains(&column.name)) {
                column.references = Some(to.clone());
            }
        }
    }
}

/// The text in quotes of `@name("text")`.
fn attribute(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}("))?;
    let (_, rest) = rest.split_once('"')?;
    rest.split_once('"').map(|(text, _)| text.to_owned())
}

/// The names of `fields: [a, b]`.
fn list(line: &str, key: &str) -> Option<Vec<String>> {
    let (_, rest) = line.split_once(key)?;
    let (_, rest) = rest.split_once('[')?;
    let (inside, _) = rest.split_once(']')?;
    Some(inside.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_the_names_of_the_database() {
        let found = models(
            "generator client {\n  provider = \"x\"\n}\nmodel Doc {\n  id    String @id // key\n  orgId String? @map(\"org_id\")\n  \
             org   Organization @relation(fields: [orgId], references: [id])\n  tags  Tag[]\n\n  @@map(\"documents\")\n  @@index([orgId])\n}\n\
             model Organization {\n  id String @id\n  docs Doc[]\n  last Doc?\n}\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].name.as_str(), found[0].table.name.as_str(), found[0].line),
            ("Doc", "documents", 4)
        );
        let columns: Vec<(&str, bool, Option<&str>)> = found[0]
            .columns
            .iter()
            .map(|c| (c.name.as_str(), c.nullable, c.references.as_ref().map(|to| to.name.as_str())))
            .collect();
        // The list of tags is no column, and neither is the list of documents.
        assert_eq!(columns, [("id", false, None), ("org_id", true, Some("Organization"))]);
        assert_eq!(found[1].columns.len(), 1);
    }

    #[test]
    fn what_is_cut_off_or_strange_is_left_out() {
        for text in
            ["", "model", "model {", "model A {\n id", "}\n}\n", "model A {\n x @relation(fields: [\n}\n"]
        {
            assert!(models(text).len() <= 1, "{text}");
        }
    }
}
