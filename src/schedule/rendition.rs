//! How a picture goes: as its app wants it, else as the link bears it.

use crate::model::{Quality, UploadStrategy};

/// What a picture is sent as, by the app's word and by the strategy that the link calls for when it starts.
pub fn rendition(asked: Quality, link: UploadStrategy) -> Quality {
    match (asked, link) {
        // The app has decided, for better or worse.
        (Quality::Original | Quality::Balanced | Quality::Conservative, _) => asked,
        (Quality::Auto, UploadStrategy::HighQuality) => Quality::Original,
        (Quality::Auto, UploadStrategy::Balanced) => Quality::Balanced,
        (Quality::Auto, UploadStrategy::Conservative) => Quality::Conservative,
        // It would wait; somebody wants it now.
        (Quality::Auto, UploadStrategy::BackgroundOnly) => Quality::Conservative,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apps_word_counts_and_else_the_links() {
        for link in UploadStrategy::ALL {
            for asked in [Quality::Original, Quality::Balanced, Quality::Conservative] {
                assert_eq!(rendition(asked, *link), asked);
            }
        }
        let auto: Vec<_> = UploadStrategy::ALL.iter().map(|link| rendition(Quality::Auto, *link)).collect();
        assert_eq!(auto, [Quality::Original, Quality::Balanced, Quality::Conservative, Quality::Conservative]);
    }
}
