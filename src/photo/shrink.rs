//! Makes a picture smaller: each new pixel is the mean of the area that it covers, so that nothing flickers and no line is
//! lost. In place, since a picture is most of the memory that there is.

/// The size with the longest edge at most `edge`, in the same proportion.
pub(super) fn fit(width: u16, height: u16, edge: u32) -> (u16, u16) {
    let longest = u32::from(width.max(height));
    if edge == 0 || longest <= edge {
        return (width, height);
    }
    let scaled = |side: u16| {
        let scaled = (u64::from(side) * u64::from(edge) + u64::from(longest) / 2) / u64::from(longest);
        u16::try_from(scaled.max(1)).unwrap_or(side)
    };
    (scaled(width), scaled(height))
}

/// Makes rows of pixels with so many colours smaller.
pub(super) fn shrink(pixels: &mut Vec<u8>, from: (u16, u16), to: (u16, u16), colours: usize) {
    let ((width, height), (new_width, new_height)) = (wide(from), wide(to));
    let (row, new_row) = (width * colours, new_width * colours);
    let mut sums = vec![0_u32; row];
    for y in 0..new_height {
        sums.fill(0);
        for (source, weight) in covered(y, height, new_height) {
            let source = &pixels[source * row..][..row];
            for (sum, value) in sums.iter_mut().zip(source) {
                *sum += u32::from(*value) * weight;
            }
        }
        // No row that is still to be read begins before the end of this one.
        let into = &mut pixels[y * new_row..][..new_row];
        across(&sums, into, (width, new_width), colours, height);
    }
    pixels.truncate(new_row * new_height);
    pixels.shrink_to_fit();
}

/// Puts in place of so many values across and down their mean; at the edges, of those that are there.
pub(super) fn gather(pixels: &mut Vec<u8>, from: (u16, u16), (across, down): (u8, u8)) {
    if (across, down) == (1, 1) {
        return;
    }
    let (width, height) = wide(from);
    let (across, down) = (usize::from(across), usize::from(down));
    let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let (mut sum, mut count) = (0, 0);
        for row in y * down..((y + 1) * down).min(height) {
            let values = &pixels[row * width..][x * across..((x + 1) * across).min(width)];
            sum += values.iter().map(|value| usize::from(*value)).sum::<usize>();
            count += values.len();
        }
        // None that is still to be read lies before it.
        pixels[y * columns + x] = ((sum + count / 2) / count) as u8;
    }
    pixels.truncate(columns * rows);
    pixels.shrink_to_fit();
}

/// One row, of which each value is `depth` times too large.
fn across(sums: &[u32], into: &mut [u8], (width, new_width): (usize, usize), colours: usize, depth: usize) {
    let whole = (width * depth) as u64;
    for (x, pixel) in into.chunks_exact_mut(colours).enumerate() {
        for (colour, value) in pixel.iter_mut().enumerate() {
            let sum: u64 = covered(x, width, new_width)
                .map(|(source, weight)| u64::from(sums[source * colours + colour]) * u64::from(weight))
                .sum();
            *value = ((sum + whole / 2) / whole) as u8;
        }
    }
}

/// Which of `from` places the place `at` of `to` covers, and how much of each, in `to`ths.
fn covered(at: usize, from: usize, to: usize) -> impl Iterator<Item = (usize, u32)> {
    let (begin, end) = (at * from, (at + 1) * from);
    (begin / to..end.div_ceil(to)).map(move |source| {
        let overlap = end.min((source + 1) * to) - begin.max(source * to);
        (source, overlap as u32)
    })
}

fn wide((width, height): (u16, u16)) -> (usize, usize) {
    (usize::from(width), usize::from(height))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_stands_for_several_is_their_mean() {
        let gathered = |times| {
            let mut pixels = vec![10, 20, 30, 50, 60, 71];
            gather(&mut pixels, (3, 2), times);
            pixels
        };
        assert_eq!(gathered((1, 1)), [10, 20, 30, 50, 60, 71]);
        assert_eq!(gathered((2, 1)), [15, 30, 55, 71]);
        assert_eq!(gathered((1, 2)), [30, 40, 51]);
        assert_eq!(gathered((2, 2)), [35, 51]);
    }

    #[test]
    fn one_colour_stays_what_it_is_at_all_sizes() {
        for (from, to) in [((7, 5), (6, 4)), ((640, 480), (100, 75)), ((65_535, 3), (9_999, 1)), ((3, 3), (3, 3))] {
            let mut pixels = vec![201; usize::from(from.0) * usize::from(from.1) * 3];
            shrink(&mut pixels, from, to, 3);
            assert_eq!(pixels, vec![201; usize::from(to.0) * usize::from(to.1) * 3]);
        }
    }
}
