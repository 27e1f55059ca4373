//! A query that no grammar accepts, guessed from its tokens: better a block with less confidence than none.

use sqlparser::tokenizer::Token;

use super::{Block, Cursor, TableUse, Test, Text, Value, Verb};

/// The block of a statement; nothing when it begins with no verb.
pub(super) fn read(text: &Text, statement: Cursor<'_>) -> Option<Block> {
    let mut at = statement;
    let verb = loop {
        if at.words("select") {
            break Verb::Select;
        }
        if at.words("insert") || at.words("replace into") {
            break Verb::Insert;
        }
        if { at }.words("update") {
            break Verb::Update;
        }
        if at.words("delete") {
            break Verb::Delete;
        }
        // `WITH … SELECT`, `EXPLAIN SELECT`; anything else is no query.
        if !{ at }.words("with") && !{ at }.words("explain") && at.rest().len() == statement.rest().len() {
            return None;
        }
        at.next()?;
    };
    let mut block = Block {
        verb,
        tables: Vec::new(),
        tests: Vec::new(),
        writes: Vec::new(),
        open: Vec::new(),
        parent: None,
        decides: false,
        conflict: None,
    };
    for name in super::block::tables(statement) {
        let alias = name.name.clone();
        let name = text.inside(&name.name).is_none().then_some(name);
        block.tables.push(TableUse { name, alias });
    }
    let alternatives = { statement }.skip_to("or") || has(statement, "or");
    tests(text, statement, !alternatives, &mut block);
    (!block.tables.is_empty()).then_some(block)
}

fn has(mut at: Cursor<'_>, word: &str) -> bool {
    while !at.is_empty() {
        if at.words(word) {
            return true;
        }
        at.next();
    }
    false
}

/// Comparisons of a name with something that is put in, and holes that stand where no operand is due.
fn tests(text: &Text, mut at: Cursor<'_>, required: bool, block: &mut Block) {
    let mut operand_due = false;
    while !at.is_empty() {
        let mut ahead = at;
        if let Some(name) = ahead.name() {
            if let (None, Some(open)) = (&name.schema, text.placeholder(&name.name)) {
                if !operand_due {
                    block.open.push(open);
                }
            } else if ahead.token(&Token::Eq) || ahead.words("in") {
                while ahead.token(&Token::LParen) || ahead.words("any") {}
                if let Some(value) = { ahead }.word().and_then(|word| text.placeholder(&word)) {
                    let (table, column) =
                        (name.schema.map(|table| table.to_lowercase()), name.name.to_lowercase());
                    block.tests.push(Test {
                        table,
                        column,
                        value: Value::Placeholder(value),
                        equal: true,
                        required,
                    });
                }
            }
        }
        operand_due = match at.next() {
            Some(Token::Word(word)) => {
                let word = word.value.to_lowercase();
                matches!(
                    word.as_str(),
                    "limit"
                        | "offset"
                        | "values"
                        | "set"
                        | "from"
                        | "into"
                        | "join"
                        | "update"
                        | "in"
                        | "any"
                        | "like"
                        | "ilike"
                        | "between"
                        | "as"
                        | "by"
                )
            }
            Some(Token::RParen | Token::Number(..) | Token::SingleQuotedString(_)) => false,
            _ => true,
        };
    }
}
