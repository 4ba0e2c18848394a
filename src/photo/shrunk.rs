//! Tests of what `pixels/` makes smaller: they run with the rest.

use ferryd_pixels::{fit, shrink};

#[test]
fn the_longest_edge_fits_and_the_proportion_stays() {
    assert_eq!(fit(4000, 3000, 2000), (2000, 1500));
    assert_eq!(fit(3000, 4000, 2000), (1500, 2000));
    assert_eq!(fit(4000, 3000, 4000), (4000, 3000));
    assert_eq!(fit(4000, 3000, 0), (4000, 3000));
    assert_eq!(fit(u16::MAX, 1, 16), (16, 1));
    assert_eq!(fit(4001, 3001, 4000), (4000, 3000));
}

#[test]
fn each_pixel_is_the_mean_of_what_it_covers() {
    let mut pixels = vec![0, 100, 10, 110, 20, 120, 30, 130];
    shrink(&mut pixels, (2, 2), (1, 1), 2);
    assert_eq!(pixels, [15, 115]);
    // Three pixels to two: each covers one and a half.
    let mut pixels = vec![0, 60, 120];
    shrink(&mut pixels, (3, 1), (2, 1), 1);
    assert_eq!(pixels, [20, 100]);
}

#[test]
fn one_colour_stays_what_it_is_at_all_sizes() {
    for (from, to) in [((7, 5), (6, 4)), ((640, 480), (100, 75)), ((65_535, 3), (9_999, 1)), ((3, 3), (3, 3))] {
        let mut pixels = vec![201; usize::from(from.0) * usize::from(from.1) * 3];
        shrink(&mut pixels, from, to, 3);
        assert_eq!(pixels, vec![201; usize::from(to.0) * usize::from(to.1) * 3]);
    }
}
