//! What the name of a tool that says nothing of itself says that it does.
//!
//! The specification takes such a tool for one that may change and destroy anything. So it is called only where its name
//! begins with a verb that reads and has no verb in it that changes something: what was called by mistake cannot be taken
//! back, and what was left out is told of.

use super::{Kind, words};

/// Verbs that read and do nothing else. Nouns are none: `account` begins no reader's name.
const READS: [&str; 23] = [
    "get",
    "list",
    "search",
    "find",
    "read",
    "fetch",
    "show",
    "describe",
    "query",
    "lookup",
    "look",
    "count",
    "view",
    "browse",
    "preview",
    "compare",
    "retrieve",
    "inspect",
    "summarize",
    "summarise",
    "display",
    "explain",
    "peek",
];

/// Whole names of tools that say who is asking, or what was said.
const NAMES: [&str; 3] = ["whoami", "ping", "echo"];

/// Verbs that take something away.
const DESTROYS: [&str; 46] = [
    "abort",
    "ban",
    "burn",
    "buy",
    "cancel",
    "clear",
    "deactivate",
    "delete",
    "deprovision",
    "deregister",
    "destroy",
    "detach",
    "discard",
    "dismiss",
    "drop",
    "erase",
    "evict",
    "expire",
    "expunge",
    "flush",
    "invalidate",
    "kick",
    "kill",
    "nuke",
    "obliterate",
    "overwrite",
    "pay",
    "prune",
    "purge",
    "remove",
    "reset",
    "revoke",
    "sell",
    "shred",
    "shutdown",
    "suspend",
    "terminate",
    "trash",
    "truncate",
    "uninstall",
    "unlink",
    "unregister",
    "unsubscribe",
    "void",
    "wipe",
    "withdraw",
];

/// Verbs that change something, wherever they stand in a name.
const CHANGES: [&str; 122] = [
    "accept",
    "acknowledge",
    "ack",
    "acquire",
    "activate",
    "add",
    "adjust",
    "allocate",
    "allow",
    "amend",
    "append",
    "apply",
    "approve",
    "assign",
    "attach",
    "authorize",
    "bind",
    "close",
    "configure",
    "confirm",
    "connect",
    "consume",
    "convert",
    "create",
    "decline",
    "deduct",
    "deliver",
    "demote",
    "deny",
    "deploy",
    "dequeue",
    "disable",
    "disconnect",
    "dispatch",
    "edit",
    "enable",
    "enqueue",
    "enroll",
    "ensure",
    "escalate",
    "exec",
    "execute",
    "extend",
    "finalize",
    "finish",
    "forget",
    "forward",
    "freeze",
    "generate",
    "give",
    "grant",
    "hide",
    "ignore",
    "impersonate",
    "increment",
    "decrement",
    "initialize",
    "insert",
    "install",
    "invoke",
    "join",
    "launch",
    "login",
    "logout",
    "mark",
    "migrate",
    "modify",
    "mutate",
    "mute",
    "notify",
    "out",
    "pause",
    "persist",
    "pop",
    "populate",
    "promote",
    "provision",
    "publish",
    "put",
    "quarantine",
    "reassign",
    "reboot",
    "rebuild",
    "redeem",
    "refresh",
    "register",
    "reject",
    "remember",
    "rename",
    "renew",
    "reopen",
    "repair",
    "replace",
    "reschedule",
    "resend",
    "resolve",
    "restart",
    "resume",
    "retry",
    "revert",
    "rotate",
    "save",
    "send",
    "set",
    "settle",
    "setup",
    "spawn",
    "submit",
    "subscribe",
    "synchronize",
    "take",
    "toggle",
    "unassign",
    "unban",
    "unblock",
    "unlock",
    "unpin",
    "unpublish",
    "update",
    "upgrade",
    "upsert",
    "write",
];

/// Verbs that are nouns too. They change something where they begin a name, or come after `and`, `or`, `then`: an order
/// can be got, and `get_and_order` orders.
const EITHER: [&str; 72] = [
    "act", "archive", "award", "backup", "bill", "block", "book", "bump", "call", "change", "charge",
    "checkout", "claim", "clean", "clone", "comment", "commit", "complete", "copy", "deposit", "discount",
    "empty", "exchange", "fill", "fix", "fork", "import", "invite", "leave", "lease", "lock", "log", "mail",
    "merge", "message", "mint", "move", "open", "order", "patch", "pin", "post", "process", "pull",
    "purchase", "push", "queue", "record", "refund", "release", "reply", "report", "request", "reserve",
    "restore", "run", "schedule", "select", "share", "sign", "snooze", "start", "stop", "store", "switch",
    "sync", "tag", "transfer", "trigger", "upload", "use", "vote",
];

/// Words that leave it open what a reader does beside reading: who gets the next message or a lock has taken it.
const UNSURE: [&str; 6] = ["do", "lease", "lock", "next", "rid", "sale"];

/// Verbs that are hardly ever what the noun behind them is of: `find_fix_ticket` finds a ticket and fixes it.
const BEFORE: [&str; 11] =
    ["act", "bump", "clean", "empty", "fill", "fix", "mint", "move", "reserve", "snooze", "use"];

/// Verbs and things of tools that run a statement and do nothing that the statement does not say.
const RUNS: [&str; 43] = [
    "athena",
    "bigquery",
    "clickhouse",
    "cockroachdb",
    "database",
    "databases",
    "databricks",
    "db",
    "duckdb",
    "exec",
    "execute",
    "hive",
    "libsql",
    "mariadb",
    "mssql",
    "mysql",
    "neon",
    "only",
    "oracle",
    "postgres",
    "postgresql",
    "presto",
    "psql",
    "queries",
    "query",
    "read",
    "readonly",
    "redshift",
    "run",
    "runs",
    "select",
    "snowflake",
    "spark",
    "sql",
    "sqlite",
    "statement",
    "statements",
    "supabase",
    "timescale",
    "trino",
    "turso",
    "warehouse",
    "duck",
];

/// Words beside them that say nothing of what is done.
const BESIDE: [&str; 17] = [
    "a", "ad", "adhoc", "against", "any", "async", "by", "custom", "hoc", "in", "mcp", "on", "raw", "simple",
    "the", "tool", "with",
];

/// Words of a switch that make what a call does real.
const REAL: [&str; 6] = ["force", "hard", "live", "permanent", "permanently", "real"];

const JOINS: [&str; 4] = ["and", "or", "then", "plus"];

fn is(word: &str, list: &[&str]) -> bool {
    list.contains(&word)
}

/// Whether a name has a verb in it that takes something away.
pub(super) fn destroys(name: &str) -> bool {
    words(name).iter().any(|word| is(word, &DESTROYS))
}

/// Whether a tool's name says that it runs statements, and nothing of what else it does: what stands beside may be what the
/// statement chooses for, and `run_campaign` mails whoever it chooses.
pub(super) fn runs_statements(name: &str) -> bool {
    let words = words(name);
    words.iter().any(|word| is(word, &RUNS)) && words.iter().all(|word| is(word, &RUNS) || is(word, &BESIDE))
}

/// What a choice among several may do, or a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// A value that is a kind or state of things: an order, open.
    Thing,
    /// A value of which it is not known what it is: `charge` alone may charge.
    Value,
    /// A value that says what to do.
    Act,
    /// The name of a switch.
    Switch,
}

impl Chosen {
    /// Whether it may change something by what it is called.
    pub(crate) fn changes(self, text: &str) -> bool {
        let words = words(text);
        let any = |list: &[&str]| words.iter().any(|word| is(word, list));
        any(&DESTROYS)
            || any(&CHANGES)
            || match self {
                Self::Thing => false,
                Self::Value => words.first().is_some_and(|first| is(first, &EITHER)) || any(&REAL),
                Self::Act => !words.first().is_some_and(|first| is(first, &READS)),
                Self::Switch => any(&EITHER) || any(&REAL),
            }
    }
}

/// Whether a tool that says nothing of itself reads, by its name.
pub(super) fn guess(name: &str) -> Kind {
    let words = words(name);
    let Some((first, rest)) = words.split_first() else { return Kind::Unclear };
    if words.iter().any(|word| is(word, &DESTROYS) || is(word, &CHANGES)) || is(first, &EITHER) {
        return Kind::Write;
    }
    let pairs = words.iter().zip(rest);
    let next: Vec<&str> = pairs.filter(|(join, _)| is(join, &JOINS)).map(|(_, next)| next.as_str()).collect();
    if next.iter().any(|word| is(word, &EITHER)) {
        return Kind::Write;
    }
    // After a verb and "and" there may stand another verb, which no list knows; two kinds of things stand in the plural.
    let clear = |word: &&str| is(word, &READS) || (word.ends_with('s') && !word.ends_with("ss"));
    let shows = |word: &String| word.ends_with('s');
    let acts = |(verb, of): (&String, &String)| is(verb, &BEFORE) && !shows(of);
    let pairs = rest.iter().zip(rest.iter().skip(1));
    if rest.iter().any(|word| is(word, &UNSURE)) || pairs.into_iter().any(acts) {
        return Kind::Unclear;
    }
    let reads = is(first, &READS) || (rest.is_empty() && is(first, &NAMES));
    if reads && next.iter().all(clear) { Kind::Read } else { Kind::Unclear }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_may_write_are_not_taken_for_readers() {
        for name in [
            "add_comment",
            "deleteTicket",
            "run_sql",
            "set-preference",
            "export_delete",
            "tickets.create",
            "deactivate_account",
            "terminate_account",
            "erase_history",
            "pay_balance",
            "transfer_balance",
            "archive_report",
            "submit_report",
            "find_and_update_ticket",
            "get_or_create_customer",
            "refresh_report",
            "fetch_and_store",
            "ban_profile",
            "unsubscribe_account",
            "wipe_account",
            "mark_ticket",
            "suspend_account",
            "charge_account",
            "withdraw_balance",
            "get_and_order",
            "findThenBook",
            "report_spam",
            "rotate_key",
            "finish",
            "get_ready_to_wipe",
            "opt_out",
            "post",
            "fetch_and_burn",
            "read_out",
            "search_replace",
            "queryDBDelete",
            "getUserAPIReset",
        ] {
            assert_eq!(guess(name), Kind::Write, "{name}");
        }
        for name in [
            "frobnicate",
            "tickets",
            "customer_profile",
            "account",
            "balance",
            "check_in_guest",
            "echo_to_all",
            "get_and_frobnicate",
            "read_and_process",
            "apply_discount_preview_",
            "status",
            "",
            "my_desk",
            "get_lock",
            "lookup_do_charge",
            "find_fix_ticket",
            "list_item_for_sale",
            "get_rid_of_account",
            "get_next_message",
        ] {
            assert_ne!(guess(name), Kind::Read, "{name}");
        }
    }

    #[test]
    fn what_begins_with_a_verb_that_reads_is_called() {
        for name in [
            "list_tickets",
            "getTicket",
            "whoami",
            "search",
            "get_settings",
            "get_order",
            "list_orders",
            "get_report",
            "get_account_balance",
            "list_users_and_groups",
            "search_and_list",
            "look_up_user",
            "get_workflow_run",
            "list_merge_requests",
            "get_issue_comments",
            "FetchURL",
            "ping",
            "count-open-tickets",
            "get_fix_versions",
            "list_locks",
            "get_use_cases",
            "getURLs",
        ] {
            assert_eq!(guess(name), Kind::Read, "{name}");
        }
    }

    #[test]
    fn no_word_stands_in_two_lists() {
        let all = [&READS[..], &DESTROYS, &CHANGES, &EITHER].concat();
        let once: std::collections::BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(once.len(), all.len());
        assert!(destroys("purge_ticket") && !destroys("list_tickets"));
        assert!(Chosen::Switch.changes("mark_as_read") && !Chosen::Switch.changes("include_archived"));
        assert!(Chosen::Value.changes("charge") && Chosen::Value.changes("transfer_now"));
        assert!(!Chosen::Value.changes("all") && Chosen::Switch.changes("hard"));
        assert!(Chosen::Thing.changes("delete") && !Chosen::Thing.changes("open"));
        assert!(Chosen::Act.changes("frob") && !Chosen::Act.changes("list_all"));
    }
}
