//! Keys of what answers with a model, or searches the web: whoever uses one costs the operator, and reaches no data of anybody.

use crate::{
    ir::{ExprKind, NameRef, walk},
    project::{At, Project},
    vocabulary,
};

/// Words of what answers with a model, or out of the web.
const MODELS: &[&str] = &[
    "ai",
    "llm",
    "openai",
    "anthropic",
    "claude",
    "gemini",
    "mistral",
    "groq",
    "cohere",
    "openrouter",
    "bedrock",
    "ollama",
    "embedding",
    "embeddings",
    "deepseek",
    "foundry",
    "voyage",
    "voyageai",
    "rerank",
    "reranker",
    "jina",
    "huggingface",
    "whisper",
    "elevenlabs",
    "deepgram",
    "firecrawl",
    "tavily",
    "serper",
    "serpapi",
    "exa",
    "perplexity",
];

/// Parts of the addresses of such services.
const ADDRESSES: &[&str] = &[
    "://api.openai.com",
    "://api.anthropic.com",
    "://openrouter.ai",
    "://api.voyageai.com",
    "://api.cohere.",
    "://api.mistral.ai",
    "://api.groq.com",
    "://generativelanguage.googleapis.com",
    "://api-inference.huggingface.co",
    "://api.jina.ai",
    "://api.deepseek.com",
    "://api.together.xyz",
    "://api.elevenlabs.io",
    "://api.deepgram.com",
    "://api.firecrawl.dev",
    "://api.tavily.com",
    "://google.serper.dev",
    "://serpapi.com",
    "://api.exa.ai",
    "://api.search.brave.com",
    "://api.perplexity.ai",
];

/// Whether names are those of a model's key: a caller without one uses it up, and reaches no data with it.
pub(super) fn is_of_models(names: &[String]) -> bool {
    names.iter().any(|name| vocabulary::words(name).iter().any(|word| MODELS.contains(&word.as_str())))
}

/// Whether a call goes to such a service, by the address or the names of keys in it: `post("https://api.openai.com/…")`,
/// `post(url, headers={"Authorization": f"Bearer {settings.LLM_API_KEY}"})`.
pub(super) fn asks_a_model(project: &Project, call: At) -> bool {
    let names = names_in(project, call);
    let to_model = |text: &str| ADDRESSES.iter().any(|address| text.contains(address));
    let key = |name: &String| vocabulary::is_credential(name) && is_of_models(std::slice::from_ref(name));
    names.iter().any(|name| to_model(name) || key(name)) || is_sent_to_model(project, call)
}

/// Whether a variable that the call is given holds such an address.
fn is_sent_to_model(project: &Project, call: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let ExprKind::Call(parts) = unit.ir.expr(call.expr) else { return false };
    let Some(ExprKind::Name(NameRef::Binding(id))) = parts.positional(0).map(|first| unit.ir.expr(first))
    else {
        return false;
    };
    unit.index.sources(*id).iter().take(4).any(|source| {
        names_in(project, call.to(source.value))
            .iter()
            .any(|text| ADDRESSES.iter().any(|address| text.contains(address)))
    })
}

/// The names and texts in an expression.
pub(super) fn names_in(project: &Project, at: At) -> Vec<String> {
    let mut found = Vec::new();
    let Some(unit) = project.unit(at.module) else { return found };
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::String(text) => unit.ir.text(*text),
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            _ => return,
        };
        found.push(name.to_owned());
    });
    found
}
