// Package stats sums up what was measured.
//
// In: samples. Out: quantiles, medians of ratios, histograms that can be added up.
//
// Hard rule: no sample is thrown away.
package stats
