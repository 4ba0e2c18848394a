//! Makes a picture smaller: each new pixel is the mean of the area that it covers, so that nothing flickers and no line is
//! lost. In place, since a picture is most of the memory that there is.

/// The size with the longest edge at most `edge`, in the same proportion.
pub fn fit(width: u16, height: u16, edge: u32) -> (u16, u16) {
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
pub fn shrink(pixels: &mut Vec<u8>, from: (u16, u16), to: (u16, u16), colours: usize) {
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
