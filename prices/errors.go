package prices

import "errors"

// ErrList: the text is not a JSON object of model names to objects in UTF-8.
// Nothing of such a list is imported: what follows the mistake is unknown.
var ErrList = errors.New("not a LiteLLM price list")
