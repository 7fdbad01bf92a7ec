package bench

import "math/rand/v2"

// The 0th, 1/32th … 32/32th quantiles of the tokens of 19,366 real requests for a conversation: Microsoft Azure's public inference trace of November 2023
// (github.com/Azure/AzurePublicDataset, AzureLLMInferenceTrace_conv.csv, CC BY 4.0). Prompt and answer hardly depend on each
// other there (r = −0.11), so they are drawn apart.
var (
	tracePrompt = [...]uint64{2, 165, 194, 206, 235, 374, 383, 391, 396, 401, 405, 412, 428, 818, 966, 1001, 1020, 1037, 1052, 1067, 1083, 1100, 1120, 1147, 1189, 1312,
		1335, 1766, 2309, 3018, 4079, 4089, 14050}
	traceAnswer = [...]uint64{7, 33, 45, 53, 60, 68, 75, 81, 85, 89, 92, 95, 99, 104, 110, 118, 129, 141, 157, 171, 195, 223, 377, 389, 395, 397, 402, 411, 416, 427, 440,
		502, 1000}
)

// traceTokens draws the tokens of a request. The trace does not say what was cached.
func traceTokens(rng *rand.Rand) (input, cached, output uint64) {
	return quantile(tracePrompt[:], rng), 0, quantile(traceAnswer[:], rng)
}

// quantile draws from the distribution that has these quantiles, evenly between two of them.
func quantile(q []uint64, rng *rand.Rand) uint64 {
	i := rng.IntN(len(q) - 1)
	return q[i] + rng.Uint64N(q[i+1]-q[i]+1)
}
