-- Log that a comparator was forgotten with all its embeddings. ARGV: log length.
if not lineage then return unknown_gallery() end
local change = append(ARGV[1], 'migration', 0, {})
erased()
return change
