//! Which cache node an entity is on: Envoy's MAGLEV, computed as Envoy computes it.
//!
//! Listing 1 of Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer"
//! (NSDI 2016), with the hash that Envoy has chosen and nodes of equal weight. The end-to-end
//! tests compare it with a real Envoy's choices.

use twox_hash::XxHash64;

/// Envoy's default number of places; any other must be prime, too.
pub const PLACES: usize = 65_537;

/// A table of places, each of them a node's.
#[derive(Clone, Debug)]
pub struct Table {
    nodes: Vec<String>,
    places: Vec<u32>,
}

/// A node and the order in which it wants places.
struct Wish {
    next: usize,
    skip: usize,
}

impl Table {
    /// The table of the nodes with these `hash_key`s, in whatever order; none twice.
    ///
    /// # Panics
    /// Without nodes, for which there is no table.
    pub fn new<S: Into<String>>(hash_keys: impl IntoIterator<Item = S>, size: usize) -> Self {
        let mut nodes: Vec<String> = hash_keys.into_iter().map(Into::into).collect();
        assert!(!nodes.is_empty(), "a table has nodes");
        nodes.sort_unstable();
        let wish = |key: &String| Wish {
            next: hash(key, 0) as usize % size,
            skip: hash(key, 1) as usize % (size - 1) + 1,
        };
        let mut wishes: Vec<Wish> = nodes.iter().map(wish).collect();
        let mut places = vec![None; size];
        for turn in (0..nodes.len()).cycle().take(size) {
            let wish = &mut wishes[turn];
            let mut place = wish.next;
            while places[place].is_some() {
                place = (place + wish.skip) % size;
            }
            wish.next = (place + wish.skip) % size;
            places[place] = Some(turn as u32);
        }
        let places = places.into_iter().flatten().collect();
        Self { nodes, places }
    }

    /// The node of an entity, whose id is what Envoy hashes.
    pub fn node(&self, id: &str) -> &str {
        self.at(hash(id, 0) as usize % self.places.len())
    }

    /// The node of every place.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        (0..self.places.len()).map(|place| self.at(place))
    }

    fn at(&self, place: usize) -> &str {
        &self.nodes[self.places[place] as usize]
    }
}

fn hash(text: &str, seed: u64) -> u64 {
    XxHash64::oneshot(seed, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn table(nodes: std::ops::Range<u32>) -> Table {
        Table::new(nodes.map(|node| format!("node-{node}")), PLACES)
    }

    #[test]
    fn every_node_has_its_share_whatever_their_order() {
        let turned = Table::new(["node-2", "node-0", "node-1"], PLACES);
        assert!(table(0..3).nodes().eq(turned.nodes()));
        let mut shares = BTreeMap::new();
        table(0..100)
            .nodes()
            .for_each(|node| *shares.entry(node.to_owned()).or_insert(0) += 1);
        assert_eq!(shares.len(), 100);
        assert!(shares.values().all(|share| [655, 656].contains(share)));
    }

    #[test]
    fn the_loss_of_a_node_moves_its_own_places_and_few_others() {
        let (all, less) = (table(0..100), table(0..99));
        let moved = all.nodes().zip(less.nodes());
        let others = moved.filter(|(before, after)| before != after && *before != "node-99");
        let others = others.count();
        assert!(0 < others && others < PLACES / 50, "{others}");
    }

    #[test]
    fn an_entity_is_where_envoy_has_it() {
        // What Envoy 1.39.3 chose for entity ids with three nodes.
        let table = table(0..3);
        for (id, node) in CHOSEN {
            assert_eq!(table.node(id), node, "{id}");
        }
    }

    const CHOSEN: [(&str, &str); 6] = [
        ("5feceb66ffc86f38d952786c6d696c79", "node-1"),
        ("6b86b273ff34fce19d6b804eff5a3f57", "node-1"),
        ("d4735e3a265e16eee03f59718b9b5d03", "node-2"),
        ("4e07408562bedb8b60ce05c1decfe3ad", "node-1"),
        ("4b227777d4dd1fc61c6f884f48641d02", "node-0"),
        ("ef2d127de37b942baad06145e54b0c61", "node-0"),
    ];
}
