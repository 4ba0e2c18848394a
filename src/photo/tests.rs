//! Whole pictures, as the process that works on one makes copies of them.

use super::encode::{self, encode};
use super::jpeg::{Picture, Segment, marker};
use super::{Recipe, exif, place, shrink};
use crate::fuzz::fuzz;

#[test]
fn a_recipe_reads_back() {
    let all = Recipe { quality: Some(90), only_to_shrink: true, max_edge: Some(u32::MAX), strip_gps: true };
    for recipe in [all, Recipe::default(), all.without_encoding()] {
        assert_eq!(Recipe::from_argument(&recipe.to_argument()), Some(recipe));
    }
    for bad in ["", "90", "101,0,0,0", "90,0,0,0,0", "90,0,-1,0"] {
        assert_eq!(Recipe::from_argument(bad), None, "{bad}");
    }
}

/// A picture that has more pixels is not decoded here: it shows nothing else, and takes longer.
const PIXELS: u32 = 128 * 128;

/// Bytes of a reason that the daemon reads.
const WORDS: usize = 1024;

#[test]
fn any_picture_is_refused_by_name_or_comes_out_as_it_looked() {
    let fine = Recipe { quality: Some(90), only_to_shrink: false, max_edge: None, strip_gps: false };
    let small = Recipe { quality: Some(70), max_edge: Some(15), strip_gps: true, ..fine };
    fuzz!("picture", |original: &[u8]| {
        let is_large = |picture: Picture| u32::from(picture.frame.width) * u32::from(picture.frame.height) > PIXELS;
        for recipe in [fine, small] {
            let mut file = original.to_vec();
            if recipe.strip_gps {
                place::strip(&mut file);
            }
            let picture = Picture::of(&file);
            if picture.clone().is_ok_and(is_large) {
                return;
            }
            let (before, mut copy) = (file.clone(), Vec::new());
            let made = encode(&mut file, &recipe, recipe.quality.expect("one"), &mut copy).expect("memory takes it");
            assert!(file == before, "it may still have to go");
            match (made, &picture) {
                (Ok(()), Ok(picture)) => assert_is_a_copy(&copy, &file, picture, &recipe),
                (Ok(()), Err(why)) => panic!("it was encoded, and yet {why}"),
                (Err(why), _) => {
                    assert!((1..WORDS).contains(&why.len()) && !why.contains(char::is_control), "{why:?}");
                }
            }
        }
    });
}

fn assert_is_a_copy(copy: &[u8], file: &[u8], picture: &Picture, recipe: &Recipe) {
    let (old, made) = (picture.frame, Picture::of(copy).expect("it can be encoded anew"));
    let size = shrink::fit(old.width, old.height, recipe.max_edge.unwrap_or(0));
    let new = made.frame;
    assert_eq!((new.width, new.height, new.is_progressive), (size.0, size.1, false));
    assert_eq!(new.sampling.is_some(), old.sampling.is_some());
    assert!(copy.len() * 10 < file.len() * 9);
    let mut expected = said(file, picture);
    if size != (old.width, old.height) {
        for (_, body) in
            expected.iter_mut().filter(|(marker, body)| *marker == marker::APP1 && body.starts_with(exif::MARK))
        {
            exif::set_size(body, size.0, size.1);
        }
    }
    assert_eq!(said(copy, &made), expected);
    let pixels = brightness(copy, &made);
    if size == (old.width, old.height) {
        assert_looks_as(&pixels, &brightness(file, picture), copy, &made);
    }
}

/// All that a picture says beside its pixels and how they are coded.
fn said(file: &[u8], picture: &Picture) -> Vec<(u8, Vec<u8>)> {
    let says = |marker: u8| matches!(marker, marker::APP1..=marker::APP15 | marker::COM) && marker != marker::APP14;
    let segments = picture.head.segments.iter().filter(|segment| says(segment.marker));
    segments.map(|Segment { marker, body }| (*marker, file[body.clone()].to_vec())).collect()
}

/// Of each pixel.
fn brightness(file: &[u8], picture: &Picture) -> Vec<u8> {
    let colours = if picture.frame.sampling.is_some() { 3 } else { 1 };
    let pixels = encode::decode(&mut file.to_vec(), picture).expect("it can be decoded");
    pixels.into_iter().step_by(colours).collect()
}

/// Nothing of the brightness is lost but what the copy's steps are too coarse for (T.81, A.3.4): at most half a step of
/// each of a block's coefficients, of which the squares add up to those of its pixels.
fn assert_looks_as(pixels: &[u8], original: &[u8], copy: &[u8], made: &Picture) {
    let tables =
        made.head.segments.iter().filter(|segment| segment.marker == 0xdb).map(|segment| &copy[segment.body.clone()]);
    let steps = tables.filter(|table| table[0] == 0).map(|table| &table[1..65]).next().expect("a table");
    // What is rounded on the way counts as two.
    let most: u32 = steps.iter().map(|step| (u32::from(*step) / 2 + 2).pow(2)).sum();
    let blocks = u32::from(made.frame.width.div_ceil(8)) * u32::from(made.frame.height.div_ceil(8));
    let lost: u32 = pixels.iter().zip(original).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum();
    assert!(lost <= most * blocks, "{lost} of {most} in each of {blocks} blocks");
}
