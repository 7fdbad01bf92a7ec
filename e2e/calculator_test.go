package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
)

// calculator works out the steps of one component's arithmetic: a step is a chain of equal
// terms, "T(3) = 3 × 0.5 = 1.5", or a remark. T(q) is what an earlier step said it is.
type calculator struct {
	totals map[string]decimal.Decimal
	last   decimal.Decimal
}

// calculate checks the steps and returns what they come to.
func calculate(steps []string) (decimal.Decimal, error) {
	c := calculator{totals: map[string]decimal.Decimal{}}
	if len(steps) == 0 {
		return c.last, errors.New("there are no steps")
	}
	for _, step := range steps {
		if err := c.step(step); err != nil {
			return c.last, fmt.Errorf("%q: %w", step, err)
		}
	}
	return c.last, nil
}

func (c *calculator) step(step string) error {
	for _, remark := range []string{"taken back: ", "less than the minimum: "} {
		if text, ok := strings.CutPrefix(step, remark); ok {
			value, err := c.value(text)
			if err == nil && remark[0] == 't' && !value.Equal(c.last.Neg()) {
				err = fmt.Errorf("what is taken back is not %s", c.last)
			}
			if err == nil && remark[0] == 'l' && !value.GreaterThan(c.last) {
				err = fmt.Errorf("%s is not less", c.last)
			}
			c.last = value
			return err
		}
	}
	if strings.Contains(step, ": the unit is ") {
		return nil // which of the prices by size holds; the next step takes it
	}
	terms := strings.Split(step, " = ")
	if len(terms) < 2 {
		return errors.New("nothing is equal to anything")
	}
	defined := ""
	if total.FindString(terms[0]) == terms[0] {
		defined, terms = terms[0], terms[1:]
	}
	value, err := c.value(terms[0])
	for _, term := range terms[1:] {
		other, wrong := c.value(term)
		if err = errors.Join(err, wrong); err == nil && !other.Equal(value) {
			err = fmt.Errorf("%s is %s, not %s", terms[0], value, term)
		}
	}
	if defined != "" {
		c.totals[defined] = value
	}
	c.last = value
	return err
}

// value works out a sum of products. "n packages of m × u" is n × u; "(q − n included)", and
// "(q − n of m included)", is what is left of q.
func (c *calculator) value(text string) (decimal.Decimal, error) {
	var unknown error
	text = total.ReplaceAllStringFunc(text, func(t string) string {
		value, known := c.totals[t]
		if !known {
			unknown = fmt.Errorf("%s was not worked out", t)
		}
		return value.String()
	})
	if unknown != nil {
		return decimal.Zero, unknown
	}
	p := &parser{words: strings.Fields(notation.Replace(allowance.ReplaceAllString(text, "")))}
	value, err := p.sum()
	if err == nil && len(p.words) > 0 {
		err = fmt.Errorf("%q is left over", p.words)
	}
	return value, err
}

// notation spaces the brackets out, so that words are what the parser reads.
var notation = strings.NewReplacer("packages of", "packages-of", "package of", "packages-of", "(", "( ", ")", " ) ")

// allowance is the remark that something is included.
var allowance = regexp.MustCompile(`( of [0-9.]+)? included`)

// total is T of a quantity, or with the id of a later version in brackets that version's.
var total = regexp.MustCompile(`T(\[[^]]+\])?\([^)]*\)`)

type parser struct {
	words []string // what is left
}

func (p *parser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

func (p *parser) sum() (decimal.Decimal, error) {
	value, err := p.product()
	for err == nil && len(p.words) > 0 && (p.words[0] == "+" || p.words[0] == "−") {
		sign := p.next()
		var other decimal.Decimal
		if other, err = p.product(); sign == "−" {
			other = other.Neg()
		}
		value = value.Add(other)
	}
	return value, err
}

func (p *parser) product() (decimal.Decimal, error) {
	value, err := p.operand()
	if err == nil && len(p.words) > 1 && p.words[0] == "packages-of" {
		p.words = p.words[2:]
	}
	for err == nil && len(p.words) > 0 && p.words[0] == "×" {
		p.next()
		var other decimal.Decimal
		other, err = p.operand()
		value = value.Mul(other)
	}
	return value, err
}

func (p *parser) operand() (decimal.Decimal, error) {
	word := p.next()
	switch word {
	case "(":
		value, err := p.sum()
		if err == nil && p.next() != ")" {
			err = errors.New("a bracket is not closed")
		}
		return value, err
	}
	return decimal.NewFromString(word)
}

func TestCalculator(t *testing.T) {
	f := func(want string, steps ...string) {
		t.Helper()
		got, err := calculate(steps)
		if text := got.String(); err != nil && want != "" || err == nil && text != want {
			t.Errorf("%q: %s, %v, want %q", steps, text, err, want)
		}
	}
	f("1.5", "3 × 0.5 = 1.5")
	f("", "3 × 0.5 = 1.6")
	f("1.75", "3 × 0.5 + 0.25 = 1.75")
	f("2", "3 × 0.5 = 1.5", "less than the minimum: 2")
	f("", "3 × 0.5 = 1.5", "less than the minimum: 1")
	f("-1.5", "3 × 0.5 = 1.5", "taken back: -1.5")
	f("", "3 × 0.5 = 1.5", "taken back: 1.5")
	f("6", "input + cached_input = 3, above 2: the unit is 2", "3 × 2 = 6")
	f("1", "T(3) = 2 × 0.5 + 1 × 1 = 2", "T(2) = 2 × 0.5 = 1", "T(3) − T(2) = 1")
	f("", "T(3) = 2 × 0.5 + 1 × 1 = 2", "T(3) − T(2) = 1")
	f("-3", "T(0) = (0 − 0 included) × 3 = 0", "T(6) = (6 − 5 included) × 3 = 3", "T(0) − T(6) = -3")
	f("-1.5", "T(5) = (5 − 5 of 7 included) × 3 = 0", "T(7.5) = (7.5 − 7 included) × 3 = 1.5", "T(5) − T(7.5) = -1.5")
	f("1.5", "T(7) = 2 packages of 5 × 1.5 = 3", "T(5) = 1 package of 5 × 1.5 = 1.5", "T(7) − T(5) = 1.5")
	f("3", "T[v2](3) = 3 × 2 = 6", "T[v2](1) = 1 × 3 = 3", "T[v2](3) − T[v2](1) = 3")
	f("", "T(3) = 3 × 2 = 6", "T[v2](3) − T(3) = 0")
	f("")
	f("", "3")
	f("", "3 × (2 = 6")
}
