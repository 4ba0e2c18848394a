//! A disk as POSIX promises it and no better: what was not synced may be lost in a power cut, in any order and in pieces.
//! A name is as lasting as its folder's last sync, whatever became of the file. What a failed sync of a file was to bring to
//! the disk is lost for good, although whoever reads the file sees it until the power goes: so Linux does it (ext4, XFS).
//! Names are not lost by that: the journal keeps them until it can write them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::trace::Step;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Files and folders, by their names now, and what of them is on the disk.
pub(crate) struct Disk {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    root: PathBuf,
    clock: u64,
    syncing: BTreeMap<u32, (usize, u64)>,
    /// How often what is on the disk has changed.
    pub(crate) changes: u64,
}

/// What is on the disk, and what was done since.
enum Node {
    File { kept: Vec<u8>, loose: Vec<Loose<Change>> },
    Folder { kept: BTreeMap<PathBuf, usize>, loose: Vec<Loose<Entry>> },
}

struct Loose<T> {
    when: u64,
    /// A sync that should have brought it to the disk failed.
    is_lost: bool,
    what: T,
}

enum Change {
    Written { at: usize, bytes: Vec<u8> },
    Length(usize),
}

enum Entry {
    Named(PathBuf, usize),
    Removed(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, node: usize },
}

/// What becomes of what was not synced.
#[derive(Debug)]
pub(crate) enum Cut<'r> {
    /// It is there: the program was killed, and the power stays.
    Killed,
    /// It is gone.
    Gone,
    /// Of each file some of it is there, in sectors, and of each folder the first changes.
    Torn(&'r mut fastrand::Rng),
    /// One write is there of all, and every name.
    One(&'r mut fastrand::Rng),
}

impl Disk {
    /// A disk with all that lies in this folder now; what belongs there is all that it knows of.
    pub(crate) fn of(root: &Path) -> Self {
        let folder = Node::Folder { kept: BTreeMap::new(), loose: Vec::new() };
        let mut disk = Self {
            nodes: vec![folder],
            names: BTreeMap::from([(root.to_owned(), 0)]),
            root: root.to_owned(),
            clock: 0,
            syncing: BTreeMap::new(),
            changes: 0,
        };
        disk.load(root);
        disk
    }

    fn load(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let node = if path.is_dir() {
                Node::Folder { kept: BTreeMap::new(), loose: Vec::new() }
            } else if path.is_file() {
                Node::File { kept: fs::read(&path).expect("readable"), loose: Vec::new() }
            } else {
                continue;
            };
            let number = self.add(node);
            self.names.insert(path.clone(), number);
            if let Node::Folder { kept, .. } = &mut self.nodes[self.names[folder]] {
                kept.insert(path.clone(), number);
            }
            if path.is_dir() {
                self.load(&path);
            }
        }
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Does what the program did.
    pub(crate) fn take(&mut self, step: &Step) {
        self.clock += 1;
        match step {
            Step::Said(_) => {}
            Step::Opened(path) if self.names.contains_key(path) => {}
            Step::Opened(path) => self.make(path, Node::File { kept: Vec::new(), loose: Vec::new() }),
            Step::MadeFolder(path) => self.make(path, Node::Folder { kept: BTreeMap::new(), loose: Vec::new() }),
            Step::Removed(path) => {
                self.names.remove(path);
                self.note(path, Entry::Removed(path.clone()));
            }
            Step::Renamed { from, to } => {
                assert_eq!(from.parent(), to.parent(), "nothing moves to another folder");
                let node = self.names.remove(from).expect("a file");
                self.names.insert(to.clone(), node);
                self.note(from, Entry::Renamed { from: from.clone(), to: to.clone(), node });
            }
            Step::Written { file, at, bytes } => self.write(file, *at, bytes.clone()),
            Step::Copied { from, from_at, file, at, length } => {
                let source = if from.starts_with(&self.root) && self.names.contains_key(from) {
                    self.content(from)
                } else {
                    fs::read(from).expect("what was handed over is still there")
                };
                // Without places both go on where they were: at what the copy has already.
                let at = at.unwrap_or_else(|| self.content(file).len() as u64);
                let start = usize::try_from(from_at.unwrap_or(at)).expect("a place");
                let end = length.map_or(source.len(), |length| start + usize::try_from(length).expect("a length"));
                self.write(file, Some(at), source[start..end].to_vec());
            }
            Step::Cut { file, length } => {
                self.change(file, Change::Length(usize::try_from(*length).expect("a length")))
            }
            Step::Grown { file, length } => {
                let length = usize::try_from(*length).expect("a length").max(self.content(file).len());
                self.change(file, Change::Length(length));
            }
            Step::SyncBegun { thread, path } => {
                // What has no name any more concerns nobody.
                if let Some(node) = self.names.get(path) {
                    self.syncing.insert(*thread, (*node, self.clock));
                }
            }
            Step::SyncEnded { thread, good } => {
                if let Some((node, begun)) = self.syncing.remove(thread) {
                    self.synced(node, begun, *good);
                }
            }
        }
    }

    fn make(&mut self, path: &Path, node: Node) {
        let node = self.add(node);
        self.names.insert(path.to_owned(), node);
        self.note(path, Entry::Named(path.to_owned(), node));
    }

    /// Notes a change of the folder that this name is in.
    fn note(&mut self, path: &Path, what: Entry) {
        let folder = self.names[path.parent().expect("a folder")];
        let Node::Folder { loose, .. } = &mut self.nodes[folder] else { panic!("no folder: {}", path.display()) };
        loose.push(Loose { when: self.clock, is_lost: false, what });
    }

    fn write(&mut self, file: &Path, at: Option<u64>, bytes: Vec<u8>) {
        let at = at.map_or_else(|| self.content(file).len(), |at| usize::try_from(at).expect("a place"));
        self.change(file, Change::Written { at, bytes });
    }

    fn change(&mut self, file: &Path, what: Change) {
        // A file without a name: a copy that was broken off.
        let Some(node) = self.names.get(file) else { return };
        let Node::File { loose, .. } = &mut self.nodes[*node] else { panic!("no file: {}", file.display()) };
        loose.push(Loose { when: self.clock, is_lost: false, what });
    }

    fn synced(&mut self, node: usize, begun: u64, good: bool) {
        self.changes += 1;
        match &mut self.nodes[node] {
            Node::File { loose, .. } if !good => {
                loose.iter_mut().filter(|change| change.when <= begun).for_each(|change| change.is_lost = true);
            }
            Node::File { kept, loose } => {
                let due = loose.extract_if(.., |change| change.when <= begun && !change.is_lost);
                due.for_each(|change| change.what.apply(kept, &mut |_| true));
            }
            Node::Folder { kept, loose } if good => {
                loose.extract_if(.., |change| change.when <= begun).for_each(|entry| entry.what.apply(kept));
            }
            Node::Folder { .. } => {}
        }
    }

    /// What a reader of the file sees.
    fn content(&self, file: &Path) -> Vec<u8> {
        let Node::File { kept, loose } = &self.nodes[self.names[file]] else { panic!("no file: {}", file.display()) };
        let mut content = kept.clone();
        loose.iter().for_each(|change| change.what.apply(&mut content, &mut |_| true));
        content
    }

    /// Makes a folder of what is left when the power goes now.
    pub(crate) fn cut(&self, mut how: Cut<'_>, to: &Path) {
        let files = self.nodes.iter().filter_map(|node| match node {
            Node::File { loose, .. } => Some(loose.iter().filter(|change| !change.is_lost).map(|change| change.when)),
            Node::Folder { .. } => None,
        });
        let loose: Vec<u64> = files.flatten().collect();
        let the_one = match &mut how {
            Cut::One(random) if !loose.is_empty() => Some(loose[random.usize(..loose.len())]),
            Cut::One(_) | Cut::Killed | Cut::Gone | Cut::Torn(_) => None,
        };
        self.leave(0, &mut how, the_one, to);
    }

    fn leave(&self, node: usize, how: &mut Cut<'_>, the_one: Option<u64>, to: &Path) {
        match &self.nodes[node] {
            Node::File { kept, loose } => {
                let mut content = kept.clone();
                for change in loose {
                    match how {
                        Cut::Killed => change.what.apply(&mut content, &mut |_| true),
                        Cut::One(_) if Some(change.when) == the_one => change.what.apply(&mut content, &mut |_| true),
                        Cut::Torn(random) if !change.is_lost => {
                            let share = [0.0, 0.5, 1.0][random.usize(..3)];
                            change.what.apply(&mut content, &mut |_| random.f64() < share);
                        }
                        Cut::Gone | Cut::One(_) | Cut::Torn(_) => {}
                    }
                }
                fs::write(to, content).expect("a file");
            }
            Node::Folder { kept, loose } => {
                let count = match how {
                    Cut::Killed | Cut::One(_) => loose.len(),
                    Cut::Gone => 0,
                    Cut::Torn(random) => random.usize(..=loose.len()),
                };
                let mut names = kept.clone();
                loose[..count].iter().for_each(|entry| entry.what.apply(&mut names));
                fs::create_dir_all(to).expect("a folder");
                for (path, node) in names {
                    self.leave(node, how, the_one, &to.join(path.file_name().expect("a name")));
                }
            }
        }
    }
}

impl Change {
    /// Does those sectors of it that arrive; a length arrives if its one does.
    fn apply(&self, content: &mut Vec<u8>, arrives: &mut impl FnMut(usize) -> bool) {
        match self {
            Self::Length(length) => {
                if arrives(0) {
                    content.resize(*length, 0);
                }
            }
            Self::Written { at, bytes } => {
                let mut done = 0;
                while done < bytes.len() {
                    let place = at + done;
                    let end = ((place / SECTOR + 1) * SECTOR - at).min(bytes.len());
                    if arrives(place / SECTOR) {
                        content.resize(content.len().max(at + end), 0);
                        content[place..at + end].copy_from_slice(&bytes[done..end]);
                    }
                    done = end;
                }
            }
        }
    }
}

impl Entry {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Named(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Removed(path) => drop(names.remove(path)),
            Self::Renamed { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(disk: &Disk, how: Cut<'_>) -> BTreeMap<String, Vec<u8>> {
        let to = tempfile::tempdir().unwrap();
        disk.cut(how, to.path());
        let files = fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap());
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
    }

    #[test]
    fn a_file_is_there_when_its_bytes_and_its_name_were_synced_and_a_failed_sync_loses_them() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = Disk::of(root.path());
        let file = root.path().join("a");
        let written = |at, byte| Step::Written { file: file.clone(), at: Some(at), bytes: vec![byte; 1000] };
        let sync = |path: &Path, good| {
            let path = path.to_owned();
            [Step::SyncBegun { thread: 1, path }, Step::SyncEnded { thread: 1, good }]
        };
        disk.take(&Step::Opened(file.clone()));
        disk.take(&written(0, 1));
        sync(&file, true).iter().for_each(|step| disk.take(step));
        assert_eq!(left(&disk, Cut::Gone), [].into());
        sync(root.path(), true).iter().for_each(|step| disk.take(step));
        disk.take(&written(1000, 2));
        assert_eq!(left(&disk, Cut::Gone), [("a".to_owned(), vec![1; 1000])].into());
        let both = [vec![1; 1000], vec![2; 1000]].concat();
        assert_eq!(left(&disk, Cut::Killed), [("a".to_owned(), both.clone())].into());
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(left(&disk, Cut::One(&mut random)), [("a".to_owned(), both.clone())].into());
        let torn: std::collections::BTreeSet<Vec<u8>> =
            (0..400).map(|_| left(&disk, Cut::Torn(&mut random)).remove("a").unwrap()).collect();
        // The bytes from 1000 on lie in the sectors 1, 2 and 3.
        assert_eq!(torn.len(), 8);
        sync(&file, false).iter().for_each(|step| disk.take(step));
        sync(&file, true).iter().for_each(|step| disk.take(step));
        assert_eq!(left(&disk, Cut::Gone), [("a".to_owned(), vec![1; 1000])].into());
        assert_eq!(left(&disk, Cut::Killed), [("a".to_owned(), both)].into());
    }
}
