-- What assay_quantile(sumMap(histogram), 0.5) and 0.95 give, as aggregates: half of the time, and a quarter of the
-- statement, which is most of the time of a short query. Both levels of a histogram are one aggregate: the engine
-- computes what stands twice once. Counts that a correction made negative wrap around, and add up right.
-- Bucket -32768 holds zero: its power, 1e-282, is subtracted, which changes no other number.

CREATE OR REPLACE FUNCTION assay_sum_p50_p95 AS histogram ->
    quantilesExactWeightedArray(0.5, 0.95)(mapKeys(histogram), CAST(mapValues(histogram), 'Array(UInt64)'));

CREATE OR REPLACE FUNCTION assay_sum_p50 AS histogram ->
    if(
        sumArray(mapValues(histogram)) > 0,
        2 * (pow(1.02, assay_sum_p50_p95(histogram)[1]) - pow(1.02, -32768)) / 2.02,
        NULL
    );

CREATE OR REPLACE FUNCTION assay_sum_p95 AS histogram ->
    if(
        sumArray(mapValues(histogram)) > 0,
        2 * (pow(1.02, assay_sum_p50_p95(histogram)[2]) - pow(1.02, -32768)) / 2.02,
        NULL
    );
