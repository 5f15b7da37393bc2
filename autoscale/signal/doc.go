// Package signal keeps what is measured of every revision: how many requests it has had, in replicas and held.
//
// In: reports of replica proxies (gauge, counter and time histogram of each revision they serve, every 200 ms), and counts of
// held requests from the holds, and what event brokers have waiting. Never a gateway's own counters: they would count the same requests twice.
// Out: a decide.Window for any moment: time-weighted means over the stable and the panic window, and what is there now.
//
// Hard rule: every method takes the time; nothing here reads a clock. What a source said last counts for a bounded time only.
//
// # The estimator
//
// Envoy's gauges are samples: their mean over n reports is off by about 1/√(mean × n), which for short requests at small
// load is a lot (12 % over 6 s at a concurrency of 2). The sum of the time histogram is the exact time-integral of
// concurrency, but of finished requests: it comes late by the length of a request. Each interval between two reports takes
//
//	w × gauge (trapezoid) + (1−w) × histogram,  w = τ² / (τ² + (Δ/2)²)
//
// where Δ is the interval and τ the mean length of requests, as the ratio of mean gauge to arrivals over the last 10 s, so
// that requests that have not finished count in it; and no less than a quarter of that ratio in the interval itself, so that
// an app that hangs is seen. Requests well below Δ/2 are taken from the histogram, longer ones from the gauge.
//
// Measured (TestEstimator…): over a panic window the error falls from 12 % to 0.6 % for requests of 20 ms at a concurrency of
// 2, from 9 % to 4 % at 100 ms, and is the gauge's for a second or more. A step is seen to 89 % or better within its first
// second, an app that hangs to 68 % in its first and 93 % in its second. The bias is below 1 %, also with lengths spread over
// three orders of magnitude. To mix by the mean length of finished requests instead is biased by up to −11 %, because the
// long ones that have not finished are missing from it.
package signal
