//! How many operations each kernel's definition asks for, as a function of its dimensions.
//!
//! The closed forms of the loop nests, by the rule at [`Kernel::operations`](super::Kernel::operations). `tests/operations.rs`
//! counts the same nests by running them.

/// 1 + 2 + ... + n
fn triangle(n: u64) -> u64 {
    n * (n + 1) / 2
}

/// Factorisation without pivoting: for each row the part left of the diagonal, then the rest.
fn factorise(n: u64) -> u64 {
    // The sum over i of i*i + 2i(n - i).
    n * (n - 1) * (4 * n + 1) / 6
}

pub(super) fn correlation(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    let means = m * (n + 1);
    let deviations = m * (3 * n + 2);
    // Each element less its mean, over the column's deviation times the root of n, which is taken once.
    let centre = 3 * n * m + 1;
    means + deviations + centre + triangle(m - 1) * 2 * n
}

pub(super) fn covariance(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    m * (n + 1) + n * m + triangle(m) * (2 * n + 1)
}

pub(super) fn gemm(d: &[u64]) -> u64 {
    let [ni, nj, nk] = [d[0], d[1], d[2]];
    ni * nj + ni * nk + 2 * ni * nj * nk
}

pub(super) fn gemver(d: &[u64]) -> u64 {
    let n = d[0];
    4 * n * n + 3 * n * n + n + 3 * n * n
}

pub(super) fn gesummv(d: &[u64]) -> u64 {
    let n = d[0];
    4 * n * n + 3 * n
}

pub(super) fn symm(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    6 * m * n + 4 * n * triangle(m - 1)
}

pub(super) fn syr2k(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    triangle(n) + 6 * m * triangle(n)
}

pub(super) fn syrk(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    triangle(n) + n * m + 2 * m * triangle(n)
}

pub(super) fn trmm(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    m * n + 2 * n * triangle(m - 1)
}

pub(super) fn two_mm(d: &[u64]) -> u64 {
    let [ni, nj, nk, nl] = [d[0], d[1], d[2], d[3]];
    3 * ni * nj * nk + ni * nl + 2 * ni * nl * nj
}

pub(super) fn three_mm(d: &[u64]) -> u64 {
    let [ni, nj, nk, nl, nm] = [d[0], d[1], d[2], d[3], d[4]];
    2 * (ni * nj * nk + nj * nl * nm + ni * nl * nj)
}

/// Two products of a matrix and a vector: atax and bicg, and mvt where the matrix is square.
pub(super) fn two_matrix_vector(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[d.len() - 1]];
    4 * m * n
}

pub(super) fn doitgen(d: &[u64]) -> u64 {
    let [nq, nr, np] = [d[0], d[1], d[2]];
    2 * nq * nr * np * np
}

pub(super) fn cholesky(d: &[u64]) -> u64 {
    let n = d[0];
    n * (n + 1) * (2 * n + 1) / 6
}

pub(super) fn durbin(d: &[u64]) -> u64 {
    let n = d[0];
    (n - 1) * (2 * n + 5)
}

pub(super) fn gramschmidt(d: &[u64]) -> u64 {
    let [m, n] = [d[0], d[1]];
    n * (3 * m + 1) + 4 * m * triangle(n - 1)
}

pub(super) fn lu(d: &[u64]) -> u64 {
    factorise(d[0])
}

pub(super) fn ludcmp(d: &[u64]) -> u64 {
    let n = d[0];
    factorise(n) + 2 * triangle(n - 1) + 2 * triangle(n - 1) + n
}

pub(super) fn trisolv(d: &[u64]) -> u64 {
    d[0] * d[0]
}

pub(super) fn deriche(d: &[u64]) -> u64 {
    // Four recursions of four products and three sums, two sums of two of them. (Their factors are 1.)
    30 * d[0] * d[1]
}

pub(super) fn floyd_warshall(d: &[u64]) -> u64 {
    2 * d[0] * d[0] * d[0]
}

pub(super) fn nussinov(d: &[u64]) -> u64 {
    let n = d[0];
    // Maxima with two neighbours for each pair and one with the inner pair, which scores unless the two are adjacent; then an
    // addition and a maximum for every split.
    let pairs = triangle(n - 1);
    3 * pairs + (pairs - (n - 1)) + n * (n - 1) * (n - 2) / 3
}

pub(super) fn adi(d: &[u64]) -> u64 {
    let [steps, n] = [d[0], d[1]];
    // Two sweeps, each with 11 operations forward and 2 back.
    steps * (n - 2) * (n - 2) * 26
}

pub(super) fn fdtd_2d(d: &[u64]) -> u64 {
    let [steps, nx, ny] = [d[0], d[1], d[2]];
    steps * (3 * (nx - 1) * ny + 3 * nx * (ny - 1) + 5 * (nx - 1) * (ny - 1))
}

pub(super) fn heat_3d(d: &[u64]) -> u64 {
    let [steps, n] = [d[0], d[1]];
    steps * 2 * (n - 2).pow(3) * 13
}

pub(super) fn jacobi_1d(d: &[u64]) -> u64 {
    d[0] * 2 * (d[1] - 2) * 3
}

pub(super) fn jacobi_2d(d: &[u64]) -> u64 {
    d[0] * 2 * (d[1] - 2).pow(2) * 5
}

pub(super) fn seidel_2d(d: &[u64]) -> u64 {
    d[0] * (d[1] - 2).pow(2) * 9
}
