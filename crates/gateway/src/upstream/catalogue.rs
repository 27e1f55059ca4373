//! The tools of one conversation, as its tenant's callers see them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use rmcp::model::Tool as Definition;
use serde_json::value::RawValue;

use super::{
    Upstream,
    schema::{self, Unfit},
    tool::UpstreamTool,
};
use crate::{config::is_tool_name, tools::ToolEntry};

/// The most tools of one server, bytes of one, and characters of a title.
const MOST_TOOLS: usize = 1000;
const MOST_BYTES: usize = 128 << 10;

/// The tools that are offered, in the server's order.
pub(crate) struct Catalogue {
    pub(crate) tools: Vec<Arc<ToolEntry>>,
    by_name: HashMap<Arc<str>, usize>,
    /// When they were listed.
    pub(super) since: Instant,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self { tools: Vec::new(), by_name: HashMap::new(), since: Instant::now() }
    }
}

impl Catalogue {
    /// The tool of a name, as callers see it.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<ToolEntry>> {
        self.tools.get(*self.by_name.get(name)?).map(Arc::clone)
    }
}

/// Collects the tools of all pages.
pub(super) struct Listed<'u> {
    upstream: &'u Arc<Upstream>,
    catalogue: Catalogue,
    seen: usize,
    /// Those of `tools` that the server has.
    there: BTreeSet<String>,
}

impl<'u> Listed<'u> {
    pub(super) fn new(upstream: &'u Arc<Upstream>) -> Self {
        Self { upstream, catalogue: Catalogue::default(), seen: 0, there: BTreeSet::new() }
    }

    /// Takes a page; whether there may be more.
    pub(super) fn add(&mut self, tools: &[&RawValue]) -> bool {
        for tool in tools {
            self.seen += 1;
            if self.seen > MOST_TOOLS {
                return false;
            }
            self.take(tool.get());
        }
        true
    }

    pub(super) fn done(self) -> Catalogue {
        self.upstream.tell_absent(&self.there);
        self.catalogue
    }

    fn take(&mut self, text: &str) {
        let upstream = self.upstream;
        if text.len() > MOST_BYTES {
            return upstream.tell_once("", "its definition is too large");
        }
        let Ok(definition) = serde_json::from_str::<Definition>(text) else {
            return upstream.tell_once("", "its definition is none");
        };
        let tool = definition.name.to_string();
        let name = upstream.name_of(&tool);
        if !upstream.offers(&tool) {
            return;
        }
        if upstream.names(&tool) {
            self.there.insert(tool.clone());
        }
        if !is_tool_name(&name) || tool.is_empty() {
            // What it is called may be anything.
            return upstream.tell_once(
                "",
                "its name with the upstream's before it must have 1 to 64 of the characters A-Z a-z 0-9 _ -",
            );
        }
        if self.catalogue.by_name.contains_key(name.as_str()) {
            return upstream.tell_once(&tool, "there is an earlier one of this name");
        }
        match entry(upstream, &name, definition) {
            Ok(entry) => {
                self.catalogue.by_name.insert(Arc::clone(&entry.name), self.catalogue.tools.len());
                self.catalogue.tools.push(Arc::new(entry));
            }
            Err(why) => upstream.tell_once(&tool, &why),
        }
    }
}

/// One tool as it is offered.
fn entry(upstream: &Arc<Upstream>, name: &str, mut definition: Definition) -> Result<ToolEntry, String> {
    let unfit = |why: Unfit| why.to_string();
    let tool = definition.name.to_string();
    schema::whole(&definition.input_schema).map_err(unfit)?;
    let mut input = Arc::unwrap_or_clone(definition.input_schema);
    schema::of_object(&mut input, false).map_err(unfit)?;
    let pinned = schema::pin(&mut input, upstream.pins.keys()).map_err(unfit)?;
    #[cfg(test)]
    let by_tenant = crate::removed::removed("no-tenant-argument");
    #[cfg(not(test))]
    let by_tenant = false;
    if !by_tenant {
        schema::names_no_tenant(&input).map_err(unfit)?;
    }
    definition.input_schema = Arc::new(input);
    // Clients check results by it; one that cannot be read here, or there, is left out.
    definition.output_schema = definition.output_schema.and_then(|output| {
        schema::whole(&output).ok()?;
        let mut output = Arc::unwrap_or_clone(output);
        schema::of_object(&mut output, true).ok().map(|()| Arc::new(output))
    });
    definition.name = name.to_owned().into();
    // Nothing of these is fetched or known here.
    (definition.icons, definition.meta) = (None, None);
    ToolEntry::upstream(definition, UpstreamTool::new(upstream, tool, pinned))
}
