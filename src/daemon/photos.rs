//! What goes up of a file: the file as it is, or a copy of it that is made when the attempt starts. What was begun goes on
//! with the same bytes: what they are is kept with the backend's note, and a copy that is not the same begins anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{debug, warn};

use crate::backend::Backend;
use crate::model::{
    Answer, Claimed, FileInfo, ItemOutcome, ItemResult, Original, Payload, Quality, TaskId, TaskResult, UploadStrategy,
    Variant,
};
use crate::photo::{Made, Recipe, Room, Studio};
use crate::schedule::rendition;
use crate::store::Store;

/// What JPEGs are encoded at.
const BALANCED: u8 = 90;
const CONSERVATIVE: u8 = 70;

/// When to look again whether the disk has room.
const ROOM: Duration = Duration::from_secs(300);

/// Where copies are made, and by which rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preparing<'a> {
    pub(super) studio: &'a Studio,
    pub(super) store: &'a Store,
    pub(super) backend: &'a Backend,
    /// What the link calls for.
    pub(super) link: UploadStrategy,
    pub(super) strip_gps: bool,
}

/// What an attempt sends.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) tasks: Vec<Claimed>,
    /// The folder where the file lies.
    pub(super) folder: PathBuf,
    /// What it is.
    pub(super) quality: Quality,
    /// What stands before each of the backend's notes.
    pub(super) mark: String,
    /// The file as it was handed over, if a copy goes.
    original: Option<Box<FileInfo>>,
}

/// What is kept of an upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept<'n> {
    copy: Option<KeptCopy<'n>>,
    /// What the backend keeps.
    pub(super) note: &'n str,
}

/// That of a copy: by which recipe it was made, what came of it, and its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeptCopy<'n> {
    recipe: &'n str,
    quality: Quality,
    sha256: &'n str,
}

impl<'n> Kept<'n> {
    pub(super) fn read(text: &'n str) -> Self {
        Self::of_copy(text).unwrap_or(Self { copy: None, note: text })
    }

    /// No backend's note begins with that word.
    fn of_copy(text: &'n str) -> Option<Self> {
        let mut words = text.strip_prefix("copy ")?.splitn(4, ' ');
        let (recipe, quality, sha256) = (words.next()?, Quality::parse(words.next()?)?, words.next()?);
        Some(Self { copy: Some(KeptCopy { recipe, quality, sha256 }), note: words.next()? })
    }

    /// As what an upload was begun that can go on.
    fn begun(&self) -> Option<Quality> {
        (!self.note.is_empty()).then(|| self.copy.map_or(Quality::Original, |copy| copy.quality))
    }
}

fn mark(copy: KeptCopy<'_>) -> String {
    let KeptCopy { recipe, quality, sha256 } = copy;
    format!("copy {recipe} {quality} {sha256} ")
}

/// What to make of a file that goes as `rendition`, and whether something of it was `begun`.
fn recipe(file: &FileInfo, rendition: Quality, begun: Option<Quality>, strip_gps: bool) -> Recipe {
    let encoded =
        |quality, only_to_shrink| Recipe { quality: Some(quality), only_to_shrink, max_edge: file.max_edge, strip_gps };
    match (rendition, file.quality) {
        (Quality::Balanced, _) => encoded(BALANCED, false),
        (Quality::Conservative, _) => encoded(CONSERVATIVE, false),
        // The link bears the original, and the server wants less.
        (Quality::Original | Quality::Auto, Quality::Auto) if file.max_edge.is_some() && begun.is_none() => {
            encoded(BALANCED, true)
        }
        (Quality::Original | Quality::Auto, _) => Recipe { strip_gps, ..Recipe::default() },
    }
}

impl Sending {
    /// The tasks as they are.
    fn as_they_are(tasks: Vec<Claimed>, store: &Store) -> Self {
        let folder = store.spool().to_owned();
        Self { tasks, folder, quality: Quality::Original, mark: String::new(), original: None }
    }

    /// Makes what is to be sent in place of a file, if anything is. The error: nothing of it may go.
    pub(super) async fn prepare(tasks: Vec<Claimed>, with: Preparing<'_>) -> Result<Self, Answer> {
        let mut sending = Self::as_they_are(tasks, with.store);
        let [Claimed { id, payload: Payload::File(file), note, .. }] = &mut sending.tasks[..] else {
            return Ok(sending);
        };
        let text = note.take().unwrap_or_default();
        let kept = Kept::read(&text);
        let quality = kept.begun().unwrap_or_else(|| rendition(file.quality, with.link));
        let recipe = recipe(file, quality, kept.begun(), with.strip_gps);
        let copy = match with.copy(*id, recipe, &kept).await {
            Made::Copy { size, sha256, is_encoded } => {
                let quality = match (is_encoded, quality) {
                    (true, Quality::Original | Quality::Auto) => Quality::Balanced,
                    (true, encoded) => encoded,
                    (false, _) => Quality::Original,
                };
                Some((size, sha256, quality))
            }
            Made::Nothing(why) => {
                if !recipe.is_nothing() {
                    debug!(task = %id, reason = why, "task {id} goes as it was handed over: {why}");
                }
                None
            }
            Made::Withheld(why) => {
                let words = format!("the place where it was taken cannot be removed from it: {why}");
                return Err(Answer::Withheld { words });
            }
            Made::NoRoom(why) => {
                let words = format!("the place where it was taken cannot be removed from it yet: {why}");
                return Err(Answer::Unready { words, after: ROOM });
            }
        };
        let hash = copy.map(|(_, sha256, _)| hex(&sha256)).unwrap_or_default();
        *note = with.go_on(*id, &kept, &hash).await;
        let Some((size, sha256, quality)) = copy else { return Ok(sending) };
        sending.folder = with.store.copies().to_owned();
        sending.quality = quality;
        sending.mark = mark(KeptCopy { recipe: &recipe.to_argument(), quality, sha256: &hash });
        sending.original = Some(file.clone());
        (file.size, file.sha256) = (size, sha256);
        if quality != Quality::Original {
            file.variant = Some(Variant { photo: *id, quality });
        }
        Ok(sending)
    }

    /// The answer with what is true of the original; where that is to follow, its file is kept for the task that will
    /// carry it.
    pub(super) async fn conclude(&self, answer: Answer, store: &Store) -> Answer {
        let (Some(original), Answer::Results(mut results)) = (&self.original, answer.clone()) else { return answer };
        for ItemResult { id, outcome } in &mut results {
            let ItemOutcome::Ok(TaskResult { upload: Some(upload), .. }) = outcome else { continue };
            (upload.original, upload.quality) = (original.size, self.quality);
            if original.original == Original::Later && self.quality != Quality::Original {
                let follows = TaskId::mint();
                upload.original_task = Some(follows);
                if let Err(error) = store.share_file(*id, follows).await {
                    // The server has the copy, and says so again when it is asked again.
                    let words = format!("keeping the original for later: {error}");
                    return Answer::Unready { words, after: ROOM };
                }
            }
        }
        Answer::Results(results)
    }
}

impl Preparing<'_> {
    /// The copy of an earlier attempt if it is still there, else a new one.
    async fn copy(&self, id: TaskId, recipe: Recipe, kept: &Kept<'_>) -> Made {
        if recipe.is_nothing() {
            return Made::Nothing(String::new());
        }
        self.store.expect_copy(id);
        let copy = self.store.copies().join(id.to_string());
        if let Some(known) = kept.copy.filter(|known| known.recipe == recipe.to_argument())
            && let Some((size, sha256)) = Studio::look(&copy).await
            && hex(&sha256) == known.sha256
        {
            return Made::Copy { size, sha256, is_encoded: known.quality != Quality::Original };
        }
        let room = if self.store.is_full() { Room::None } else { Room::Some };
        self.studio.make(&self.original(id), &copy, recipe, room).await
    }

    fn original(&self, id: TaskId) -> PathBuf {
        Path::join(self.store.spool(), id.to_string())
    }

    /// The backend's note if it is of the same bytes (whose hash is empty for those of the original). What was begun with
    /// others is ended.
    async fn go_on(&self, id: TaskId, kept: &Kept<'_>, hash: &str) -> Option<String> {
        if kept.note.is_empty() {
            return None;
        }
        if kept.copy.map_or("", |copy| copy.sha256) == hash {
            return Some(kept.note.to_owned());
        }
        warn!(task = %id, "the upload of task {id} begins anew: what was made of it is not what it was");
        self.backend.abandon(kept.note).await;
        None
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_copy_stands_before_what_the_backend_keeps() {
        let copy = KeptCopy { recipe: "90,0,0,0", quality: Quality::Balanced, sha256: "ab" };
        for note in ["https://x.example/1 700", "", " a  b "] {
            let text = mark(copy) + note;
            assert_eq!(Kept::read(&text), Kept { copy: Some(copy), note });
            assert_eq!(Kept::read(&text).begun(), (!note.is_empty()).then_some(Quality::Balanced));
        }
        for text in ["", "https://x.example/1 700", "copy that", "copy 90 best ab x"] {
            assert_eq!(Kept::read(text), Kept { copy: None, note: text });
        }
        assert_eq!(Kept::read("https://x.example/1").begun(), Some(Quality::Original));
    }

    #[test]
    fn a_smaller_picture_is_made_of_a_good_one_only_where_the_server_wants_that() {
        let file = |quality, max_edge| FileInfo { quality, max_edge, ..FileInfo::new(1, [0; 32]) };
        let of = |quality, max_edge, rendition, begun| recipe(&file(quality, max_edge), rendition, begun, false);
        let (auto, original) = (Quality::Auto, Quality::Original);
        assert!(of(auto, None, original, None).is_nothing());
        assert!(of(original, Some(9), original, None).is_nothing(), "the app wants the bytes as they are");
        assert!(of(auto, Some(9), original, Some(original)).is_nothing(), "it was begun so");
        let shrunk = of(auto, Some(9), original, None);
        assert_eq!((shrunk.quality, shrunk.only_to_shrink, shrunk.max_edge), (Some(90), true, Some(9)));
        let poor = of(auto, Some(9), Quality::Conservative, None);
        assert_eq!((poor.quality, poor.only_to_shrink, poor.max_edge), (Some(70), false, Some(9)));
    }
}
