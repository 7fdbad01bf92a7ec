package usage

// Standard is the service tier that no dimension is needed for.
const Standard = "standard"

// wordUsual is how long a word may be to be read without allocating.
const wordUsual = 48

// Tier returns the service tier that a provider or a client calls so, in any case:
// Standard for the words that mean it, nothing for nothing and for words that leave the
// tier open ("auto"), and any other word as it is.
func Tier(v []byte) string {
	var room [wordUsual]byte
	switch string(lower(room[:0], v)) {
	case "", "auto", "unspecified", "service_tier_unspecified":
		return ""
	case "standard", "default":
		return Standard
	case "batch":
		return "batch"
	case "priority":
		return "priority"
	case "flex":
		return "flex"
	}
	return string(v)
}

// trafficTier returns the service tier that a type of traffic of Vertex AI is charged as.
func trafficTier(v []byte) string {
	var room [wordUsual]byte
	switch string(lower(room[:0], withoutPrefix(v, "traffictype."))) {
	case "", "traffic_type_unspecified":
		return ""
	case "on_demand":
		return Standard
	case "on_demand_priority":
		return "priority"
	case "on_demand_flex":
		return "flex"
	case "provisioned_throughput":
		return "provisioned"
	}
	return string(v)
}

// withoutPrefix returns v without a prefix, which is in lower case, in any case.
func withoutPrefix(v []byte, prefix string) []byte {
	var room [wordUsual]byte
	if len(v) >= len(prefix) && string(lower(room[:0], v[:len(prefix)])) == prefix {
		return v[len(prefix):]
	}
	return v
}

// lower appends v to dst, its ASCII letters in lower case.
func lower(dst, v []byte) []byte {
	for _, c := range v {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
