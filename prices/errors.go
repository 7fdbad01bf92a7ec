package prices

import "errors"

// ErrList says that the text is not a JSON object in UTF-8, model by model.
// Nothing of such a list is imported: what follows the mistake is unknown.
var ErrList = errors.New("not a LiteLLM price list")
