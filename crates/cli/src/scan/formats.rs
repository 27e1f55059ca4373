//! Which formats go where.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use partywall_report::{Format, Report, Style};

use crate::output;

/// A format and the file it goes to; without one it goes to standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    format: Format,
    file: Option<PathBuf>,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, file) = match text.split_once('=') {
            Some((_, "")) => return Err("a file has to follow the =".to_owned()),
            Some((name, file)) => (name, Some(PathBuf::from(file))),
            None => (text, None),
        };
        let format = name.parse::<Format>().map_err(|error| error.to_string())?;
        let file = file.filter(|file| file != Path::new("-"));
        Ok(Self { format, file })
    }
}

/// All outputs of a run.
#[derive(Debug)]
pub(crate) struct Outputs(Vec<Output>);

impl Outputs {
    /// Checks that at most one format goes to standard output, or to the file of `--output`.
    pub(crate) fn new(formats: &[Output], output: Option<&Path>) -> anyhow::Result<Self> {
        let mut outputs = formats.to_vec();
        if outputs.is_empty() {
            outputs.push(Output { format: Format::Text, file: None });
        }
        let output = output.filter(|path| *path != Path::new("-"));
        let mut plain = outputs.iter_mut().filter(|output| output.file.is_none());
        let first = plain.next();
        if let Some(second) = plain.next() {
            anyhow::bail!(
                "only one format can go to standard output; name a file for the other: --format {}=FILE",
                second.format
            );
        }
        match (first, output) {
            (Some(first), Some(path)) => first.file = Some(path.to_owned()),
            (None, Some(path)) => anyhow::bail!(
                "--output {} has no format: every --format names its own file; add --format text, or leave --output out",
                path.display()
            ),
            _ => {}
        }
        let files: Vec<&Path> = outputs.iter().filter_map(|output| output.file.as_deref()).collect();
        for (at, file) in files.iter().enumerate() {
            anyhow::ensure!(
                !files.iter().take(at).any(|other| same(other, file)),
                "two formats go to {}, and one would replace the other; name another file",
                file.display()
            );
            can_be_written(file)?;
        }
        Ok(Self(outputs))
    }

    /// Writes the report in every format. Nothing coloured goes to a file.
    pub(crate) fn write(&self, report: &Report<'_>) -> anyhow::Result<()> {
        self.write_each(report.style.colour, |format, colour| {
            let style = Style { colour, ..report.style };
            Ok(Report { style, ..*report }.render(format)?)
        })
    }

    /// Writes what `render` makes of each format, with colour or without. Nothing coloured goes to a file.
    pub(crate) fn write_each(
        &self,
        colour: bool,
        render: impl Fn(Format, bool) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        // One that cannot be written is no reason to lose the others.
        let mut failed = None;
        for output in &self.0 {
            match &output.file {
                Some(path) => match super::write(path, &render(output.format, false)?) {
                    Ok(()) => output::note(&format!("wrote {} to {}", output.format, path.display())),
                    Err(error) => failed = failed.or(Some(error)),
                },
                None => {
                    let text = render(output.format, colour)?;
                    if !text.is_empty() {
                        output::print(&text)?;
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Whether two paths name one file, as far as it can be told before it is there.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    let full = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Some(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
        })
    };
    a == b || full(a).is_some_and(|full_a| full(b) == Some(full_a))
}

/// That a file can be made where it is to be: asked before the work, and not after.
pub(crate) fn can_be_written(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    anyhow::ensure!(
        folder.is_dir(),
        "cannot write {}: there is no folder {}",
        path.display(),
        folder.display()
    );
    anyhow::ensure!(!path.is_dir(), "cannot write {}: it is a folder", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(formats: &[&str], output: Option<&str>) -> Result<Vec<(Format, Option<PathBuf>)>, String> {
        let formats: Vec<Output> = formats.iter().map(|text| text.parse().unwrap()).collect();
        Outputs::new(&formats, output.map(Path::new))
            .map(|outputs| outputs.0.into_iter().map(|output| (output.format, output.file)).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn formats_go_to_their_files_and_one_of_them_to_standard_output() {
        let file = |name: &str| Some(PathBuf::from(name));
        assert_eq!(outputs(&[], None), Ok(vec![(Format::Text, None)]));
        assert_eq!(outputs(&[], Some("a")), Ok(vec![(Format::Text, file("a"))]));
        assert_eq!(
            outputs(&["sarif=a.sarif", "html=b=c.html", "json"], None),
            Ok(vec![
                (Format::Sarif, file("a.sarif")),
                (Format::Html, file("b=c.html")),
                (Format::Json, None)
            ])
        );
        assert!(outputs(&["sarif", "json"], None).unwrap_err().contains("--format json=FILE"));
        assert_eq!(outputs(&["json=-"], None), Ok(vec![(Format::Json, None)]));
        assert!(outputs(&["json=a", "html=./a"], None).unwrap_err().contains("two formats"));
        assert!(outputs(&["json=no/folder/a"], None).unwrap_err().contains("there is no folder no/folder"));
        assert!(outputs(&["sarif=a"], Some("b")).unwrap_err().contains("--output b"));
        assert!("xml".parse::<Output>().unwrap_err().contains("sarif"));
        assert!("json=".parse::<Output>().is_err());
    }
}
