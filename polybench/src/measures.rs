//! Median, spread, paired ratio and geometric mean.
//!
//! Run times on a shared machine have a hard floor and a long tail: noise only ever adds. A mean follows the tail; order
//! statistics do not. Ratios are taken within pairs, sample `i` of one program with sample `i` of the other, which were
//! run right after each other (A B A B ...), because load and clock frequency drift by tens of percent over minutes but
//! little within a pair; the drift then cancels instead of landing on one side.
//!
//! Ratios of kernels are averaged geometrically: the result does not depend on which engine is the unit
//! (P. J. Fleming and J. J. Wallace, "How not to lie with statistics", CACM 29(3), 1986).

use thiserror::Error;

/// Why a measure cannot be taken. All are the caller's: a measurement that failed must not become a number.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// There is nothing to measure.
    #[error("no samples: run the kernel at least once")]
    Empty,
    /// A sample is zero, negative, infinite or not a number.
    #[error(
        "sample {index} is {value}, but times and ratios are positive and finite: the run failed or the clock did"
    )]
    NotPositive {
        /// Position of the sample.
        index: usize,
        /// The sample.
        value: f64,
    },
    /// Two series that should be paired have different lengths.
    #[error("{left} samples on one side and {right} on the other: pairs must be complete")]
    Unpaired {
        /// Samples of the numerator.
        left: usize,
        /// Samples of the denominator.
        right: usize,
    },
}

/// A checked, sorted series of positive, finite samples: times in any one unit, or ratios.
///
/// ```
/// use luge_polybench::Samples;
/// let times_ms = Samples::new(&[10.2, 10.0, 17.5, 10.1])?;
/// assert_eq!(times_ms.median(), 10.149999999999999);
/// # Ok::<(), luge_polybench::MeasureError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Ascending, never empty.
    sorted: Vec<f64>,
}

impl Samples {
    /// Checks and sorts `samples`.
    ///
    /// # Errors
    /// [`MeasureError::Empty`] without samples, [`MeasureError::NotPositive`] for the first that is not positive and
    /// finite.
    pub fn new(samples: &[f64]) -> Result<Samples, MeasureError> {
        check(samples)?;
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Ok(Samples { sorted })
    }

    /// The median; of an even number of samples the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The interquartile range relative to the median: 0.02 says that the middle half of the runs lies within 2 %.
    ///
    /// A result whose spread is larger than the difference that it is to show says nothing.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / self.median()
    }

    /// The `q`-quantile, with linear interpolation between neighbours (definition 7 of R. J. Hyndman and Y. Fan,
    /// "Sample quantiles in statistical packages", The American Statistician 50(4), 1996).
    ///
    /// # Panics
    /// If `q` is not within 0 and 1.
    pub fn quantile(&self, q: f64) -> f64 {
        assert!((0.0..=1.0).contains(&q), "a quantile is within 0 and 1, not {q}");
        let last = self.sorted.len() - 1;
        let position = q * last as f64;
        let below = (position.floor() as usize).min(last);
        let above = (below + 1).min(last);
        let fraction = position - below as f64;
        self.sorted[below] + (self.sorted[above] - self.sorted[below]) * fraction
    }
}

/// How many times as long one program takes as another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Median of the ratios of the pairs.
    pub median: f64,
    /// Relative interquartile range of the ratios, as [`Samples::spread`].
    pub spread: f64,
}

/// The ratio of `subject` to `reference`, taken pair by pair: `subject[i]` and `reference[i]` ran next to each other.
///
/// ```
/// // The machine got twice as slow in the middle; the ratio does not notice.
/// let ratio = luge_polybench::paired_ratio(&[3.0, 6.0, 6.0], &[2.0, 4.0, 4.0])?;
/// assert_eq!((ratio.median, ratio.spread), (1.5, 0.0));
/// # Ok::<(), luge_polybench::MeasureError>(())
/// ```
///
/// # Errors
/// [`MeasureError::Unpaired`] for series of different lengths, and the errors of [`Samples::new`].
pub fn paired_ratio(subject: &[f64], reference: &[f64]) -> Result<Ratio, MeasureError> {
    if subject.len() != reference.len() {
        return Err(MeasureError::Unpaired {
            left: subject.len(),
            right: reference.len(),
        });
    }
    check(subject)?;
    check(reference)?;
    let ratios: Vec<f64> = subject
        .iter()
        .zip(reference)
        .map(|(subject, reference)| subject / reference)
        .collect();
    let ratios = Samples::new(&ratios)?;
    Ok(Ratio {
        median: ratios.median(),
        spread: ratios.spread(),
    })
}

/// The geometric mean: the one figure for a suite of ratios.
///
/// ```
/// assert_eq!(luge_polybench::geometric_mean(&[0.5, 2.0])?, 1.0);
/// # Ok::<(), luge_polybench::MeasureError>(())
/// ```
///
/// # Errors
/// As [`Samples::new`].
pub fn geometric_mean(ratios: &[f64]) -> Result<f64, MeasureError> {
    check(ratios)?;
    // By logarithms: a product of many ratios would leave the range of f64.
    let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
    Ok(mean.exp())
}

fn check(samples: &[f64]) -> Result<(), MeasureError> {
    if samples.is_empty() {
        return Err(MeasureError::Empty);
    }
    match samples
        .iter()
        .position(|sample| !(sample.is_finite() && *sample > 0.0))
    {
        Some(index) => Err(MeasureError::NotPositive {
            index,
            value: samples[index],
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples::new(values).unwrap()
    }

    fn assert_close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= 1e-12 * expected.abs(),
            "{found} is not {expected}"
        );
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(samples(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0, 3.0, 2.0]).median(), 2.5);
        assert_eq!(samples(&[7.0]).median(), 7.0);
    }

    #[test]
    fn one_slow_run_moves_neither_median_nor_spread_far() {
        let quiet = samples(&[1.0, 1.01, 1.02, 1.03, 1.04]);
        let disturbed = samples(&[1.0, 1.01, 1.02, 1.03, 100.0]);
        assert_eq!(quiet.median(), disturbed.median());
        assert_eq!(quiet.spread(), disturbed.spread());
    }

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let series = samples(&[10.0, 20.0, 30.0, 40.0]);
        assert_close(series.quantile(0.25), 17.5);
        assert_close(series.quantile(0.75), 32.5);
        assert_eq!((series.quantile(0.0), series.quantile(1.0)), (10.0, 40.0));
        assert_close(series.spread(), 15.0 / 25.0);
        assert_eq!(samples(&[5.0]).spread(), 0.0);
    }

    #[test]
    fn pairing_cancels_drift_that_unpaired_medians_keep() {
        // Time doubles from sample to sample on both sides; the subject always takes 1.2 times as long.
        let reference: Vec<f64> = (0..6).map(|index| f64::powi(2.0, index)).collect();
        let subject: Vec<f64> = reference.iter().map(|time| time * 1.2).collect();
        let ratio = paired_ratio(&subject, &reference).unwrap();
        assert_close(ratio.median, 1.2);
        assert!(ratio.spread < 1e-12);
        // The same samples out of step by one: no ratio of theirs is right.
        let shifted = paired_ratio(&subject[1..], &reference[..5]).unwrap();
        assert_close(shifted.median, 2.4);
    }

    #[test]
    fn the_geometric_mean_does_not_depend_on_the_unit() {
        let ratios = [1.1, 2.0, 0.7, 3.3];
        let inverse: Vec<f64> = ratios.iter().map(|ratio| 1.0 / ratio).collect();
        assert_close(
            geometric_mean(&ratios).unwrap(),
            1.0 / geometric_mean(&inverse).unwrap(),
        );
        assert_close(geometric_mean(&[1e300; 30]).unwrap().ln(), 1e300_f64.ln());
        assert_close(geometric_mean(&[2.0, 8.0]).unwrap(), 4.0);
    }

    #[test]
    fn failed_measurements_never_become_a_number() {
        assert_eq!(Samples::new(&[]), Err(MeasureError::Empty));
        assert_eq!(geometric_mean(&[]), Err(MeasureError::Empty));
        for value in [0.0, -1.0, f64::INFINITY] {
            let error = MeasureError::NotPositive { index: 1, value };
            assert_eq!(Samples::new(&[1.0, value]), Err(error));
            assert_eq!(geometric_mean(&[1.0, value]), Err(error));
            assert_eq!(paired_ratio(&[1.0, 1.0], &[1.0, value]), Err(error));
        }
        assert!(Samples::new(&[f64::NAN]).is_err());
        assert_eq!(
            paired_ratio(&[1.0], &[]),
            Err(MeasureError::Unpaired { left: 1, right: 0 })
        );
    }
}
