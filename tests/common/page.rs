//! A page of documentation: its blocks of code, and the commands in them.

use std::fs;

use crate::machine::root;

/// A block of code.
#[derive(Debug)]
pub(crate) struct Block {
    /// The last heading before it.
    pub(crate) heading: String,
    /// What stands behind its opening fence, such as `sh`.
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Block {
    /// Its commands, a line that ends in a backslash joined with the next, without their remarks.
    pub(crate) fn commands(&self) -> Vec<String> {
        let text = self.text.replace("\\\n", " ");
        text.lines().map(|line| line.split("  #").next().unwrap_or(line).trim().to_owned()).collect()
    }
}

/// The blocks of code of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let (mut heading, mut open, mut blocks) = (String::new(), None::<Block>, Vec::new());
    for line in text.lines() {
        if let Some(block) = &mut open {
            if line == "```" {
                blocks.extend(open.take());
            } else {
                block.text.extend([line, "\n"]);
            }
        } else if let Some(language) = line.strip_prefix("```") {
            open = Some(Block { heading: heading.clone(), language: language.to_owned(), text: String::new() });
        } else if let Some(title) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            heading = title.to_owned();
        }
    }
    assert!(open.is_none(), "{page}: a block that does not end");
    blocks
}
